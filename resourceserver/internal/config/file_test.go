package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kong"

	"latchkey/resourceserver/internal/config"
)

// TestPrecedence: default < file < environment < flag; what the environment sets to nothing is set.
func TestPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, []byte(`{"rs_listen": "file:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const name = "RS_LISTEN"
	fallback := parsed(t).Listen
	for _, c := range []struct {
		environment string // "-": not set
		args        []string
		want        string
	}{
		{"-", nil, fallback},
		{"-", []string{"--config", file}, "file:1"},
		{"environment:1", nil, "environment:1"},
		{"environment:1", []string{"--config", file}, "environment:1"},
		{"", []string{"--config", file}, ""},
		{"-", []string{"--config", file, "--rs-listen", "flag:1"}, "flag:1"},
		{"environment:1", []string{"--rs-listen", "flag:1"}, "flag:1"},
		{"environment:1", []string{"--rs-listen", "flag:1", "--config", file}, "flag:1"},
	} {
		t.Setenv(name, c.environment)
		if c.environment == "-" {
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
		if got := parsed(t, c.args...).Listen; got != c.want {
			t.Errorf("environment %q, flags %q: %q, want %q", c.environment, c.args, got, c.want)
		}
	}
}

func parsed(t *testing.T, args ...string) config.Serve {
	t.Helper()
	var line struct {
		Config kong.ConfigFlag
		config.Serve
	}
	parser, err := kong.New(&line, kong.Configuration(new(config.File).Load))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return line.Serve
}
