package app_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/resourceserver/internal/app"
)

// asProgram makes this test binary the program itself, for shells.
const asProgram = "LATCHKEY_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(app.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestCompletion: each shell that is here sources its script and finds commands, flags and values.
func TestCompletion(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "resourceserver")); err != nil {
		t.Fatal(err)
	}
	shells := map[string]struct {
		args   []string
		script string // TYPED is the line
	}{
		"bash": {[]string{"--norc"}, `source <(resourceserver completion bash)
complete -p resourceserver >/dev/null || exit 1
COMP_WORDS=(TYPED); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _resourceserver resourceserver
printf '%s\n' "${COMPREPLY[@]}"`},
		"zsh": {[]string{"-f"}, `compdef() { : }; compadd() { shift; print -l -- "$@" }; _files() { : }
source <(resourceserver completion zsh)
words=(TYPED); CURRENT=${#words}; _resourceserver`},
		"fish": {[]string{"--no-config"}, `resourceserver completion fish | source; complete -C "TYPED"`},
	}
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, err := exec.LookPath(name)
			if err != nil {
				t.Skip(name + " is not here")
			}
			for typed, want := range map[string]string{
				"resourceserver ''":                                "completion config healthcheck keys serve tools version",
				"resourceserver config ''":                         "check print",
				"resourceserver con":                               "config",
				"resourceserver serve --log-l":                     "--log-level",
				"resourceserver serve --log-format ''":             "json text",
				"resourceserver serve --log-format json --send-po": "--send-policy",
				"resourceserver serve --config x --send-policy d":  "draft_only",
				"resourceserver completion ''":                     "bash fish zsh",
				"resourceserver completion zz":                     "",
			} {
				line := typed
				if name == "fish" {
					line = strings.ReplaceAll(line, "''", "")
				}
				cmd := exec.CommandContext(t.Context(), program, append(shell.args, "-c", strings.ReplaceAll(shell.script, "TYPED", line))...)
				cmd.Dir = t.TempDir() // no files to offer
				cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + cmd.Dir, asProgram + "=1"}
				out, err := cmd.CombinedOutput()
				got := strings.Fields(string(out))
				slices.Sort(got)
				if err != nil || strings.Join(got, " ") != want {
					t.Errorf("%s: %v\n%s\nwant %s", typed, err, out, want)
				}
			}
		})
	}
}
