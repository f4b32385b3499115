package app

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"latchkey/pkg/commandline"
	"latchkey/pkg/httpx"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/credential"
)

// configCmd shows what the settings are, and what is wrong with them.
type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Report every problem of serve's settings and of the files they name. Connects to nothing. Exit status 1 if there is one."`
	Print configPrintCmd `cmd:"" help:"Show every setting of serve, its value and where that comes from. Secrets are not shown."`
}

var errSettings = errors.New("the settings have problems: see above")

type configCheckCmd struct {
	config.Serve
	JSON bool `name:"json" help:"JSON instead of text."`
}

func (c *configCheckCmd) Run(e *env) error {
	err := c.all(e.unknown)
	if !c.JSON {
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(e.out, "the settings are complete")
		return err
	}
	found := struct {
		Problems []string `json:"problems"`
	}{[]string{}}
	if errors.As(err, (*commandline.Invalid)(&found.Problems)) {
		err = errSettings
	}
	return errors.Join(commandline.WriteJSON(e.out, found), err)
}

// all is what serve finds before it connects to anything.
func (c *configCheckCmd) all(unknown error) error {
	var p commandline.Problems
	p.Add(unknown)
	_, err := c.Check()
	p.Add(err)
	if c.RSKeyFile != "" {
		_, err := credential.LoadKey(c.RSKeyFile)
		p.Add(err)
	}
	if c.TLSCert != "" && c.TLSKey != "" {
		if _, err := httpx.LoadKeyPair(c.TLSCert, c.TLSKey, nil); err != nil {
			p.Addf("RS_INTERNAL_TLS_CERT_FILE: %v", err)
		}
	}
	return p.Err()
}

type configPrintCmd struct {
	config.Serve
	JSON bool `name:"json" help:"JSON instead of text."`
}

func (c *configPrintCmd) Run(e *env, parsed *kong.Context) error {
	list := settings(parsed)
	if c.JSON {
		return commandline.WriteJSON(e.out, list)
	}
	return commandline.WriteSettings(e.out, list)
}

// settings are the flags of the chosen command that the environment can set too.
func settings(parsed *kong.Context) []commandline.Setting {
	given := map[*kong.Flag]commandline.Source{}
	for _, p := range parsed.Path {
		if p.Flag != nil && p.Resolved {
			given[p.Flag] = commandline.File
		} else if p.Flag != nil {
			given[p.Flag] = commandline.Flag
		}
	}
	var out []commandline.Setting
	for _, f := range parsed.Selected().Flags {
		if len(f.Envs) == 0 {
			continue
		}
		s := commandline.Setting{Name: f.Envs[0], Source: commandline.Default, Value: commandline.Shown(text(f.Target.Interface()), secrecy(f))}
		if source, ok := given[f]; ok {
			s.Source = source
		} else if config.InEnvironment(f) {
			s.Source = commandline.Environment
		}
		out = append(out, s)
	}
	return out
}

func secrecy(f *kong.Flag) commandline.Secrecy {
	switch {
	case !f.Tag.Has("secret"):
		return commandline.Open
	case f.Tag.Get("secret") == "url":
		return commandline.SecretURL
	}
	return commandline.Secret
}

func text(value any) string {
	if list, ok := value.([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(value)
}
