package config

import (
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// File loads the JSON file of --config. The file wins over the defaults only: kong
// would let it win over the environment too, so what the environment sets is not
// looked up in it. This server
// has no secret settings.
func File(r io.Reader) (kong.Resolver, error) {
	file, err := kong.JSON(r)
	if err != nil {
		return nil, fmt.Errorf("the file of --config is no JSON object: %w", err)
	}
	return kong.ResolverFunc(func(c *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
		if InEnvironment(flag) {
			return nil, nil
		}
		return file.Resolve(c, parent, flag)
	}), nil
}

// InEnvironment reports whether the environment sets a flag, be it to nothing.
func InEnvironment(flag *kong.Flag) bool {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return true
		}
	}
	return false
}
