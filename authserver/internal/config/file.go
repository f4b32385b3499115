package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"latchkey/pkg/commandline"
)

// File is the JSON file of --config. It wins over the defaults only: kong would let
// it win over the environment too, so what the environment sets is not looked up
// in it. A secret that is no text is refused here, where its value is not
// repeated.
type File struct{ keys []string }

// Load reads the file, for kong.Configuration.
func (f *File) Load(r io.Reader) (kong.Resolver, error) {
	text, keys, err := commandline.ReadSettings(r)
	if err != nil {
		return nil, fmt.Errorf("the file of --config is no JSON object: %w", err)
	}
	f.keys = append(f.keys, keys...)
	file, err := kong.JSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the file of --config is no JSON object: %w", err)
	}
	return kong.ResolverFunc(func(c *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
		if InEnvironment(flag) {
			return nil, nil
		}
		value, err := file.Resolve(c, parent, flag)
		if _, text := value.(string); err == nil && value != nil && !text && flag.Tag.Has("secret") {
			return nil, errors.New("the file of --config must give it as a text in quotes")
		}
		if err == nil && !commandline.Textual(value, flag.Target.Type()) {
			return nil, commandline.ErrNotTextual
		}
		return value, err
	}), nil
}

// Unknown is a problem for each key of the file that no command of a program has:
// one file serves all of them.
func (f *File) Unknown(program *kong.Application) error {
	var flags []string
	for _, command := range program.Leaves(false) {
		for _, group := range command.AllFlags(false) {
			for _, flag := range group {
				flags = append(flags, flag.Name)
			}
		}
	}
	var p commandline.Problems
	p.UnknownKeys(f.keys, flags)
	return p.Err()
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
