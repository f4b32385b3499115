// Package compose_test loads the compose files as Docker would and checks what
// must hold of them.
package compose_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func load(t *testing.T, env []string, files ...string) *types.Project {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		files[i] = filepath.Join(root, f)
	}
	options, err := cli.NewProjectOptions(files, cli.WithWorkingDirectory(root), cli.WithEnv(env), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLoads: every service of the file resolves, with its build file and its dependencies.
func TestLoads(t *testing.T) {
	t.Parallel()
	p := load(t, nil, "docker-compose.yml")
	for _, name := range []string{"postgres", "migrate", "authserver", "resourceserver", "fakegoogle"} {
		if _, err := p.GetService(name); err != nil {
			t.Error(err)
		}
	}
	for name, s := range p.Services {
		if s.Build != nil {
			if m, err := filepath.Glob(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil || len(m) != 1 {
				t.Errorf("%s: no build file %s", name, s.Build.Dockerfile)
			}
		}
	}
}

// TestPublishedOnLoopbackOnly: and the internal and admin listeners not at all.
func TestPublishedOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for name, s := range load(t, nil, "docker-compose.yml").Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" || port.Published == "8081" || port.Published == "8082" || port.Published == "5432" {
				t.Errorf("%s publishes %s:%s", name, port.HostIP, port.Published)
			}
		}
	}
}

// TestServersAreConfined: read-only, no capabilities; the resource server has no database, no Google secret and no key-encryption key (DESIGN §1.1).
func TestServersAreConfined(t *testing.T) {
	t.Parallel()
	p := load(t, nil, "docker-compose.yml")
	for _, name := range []string{"authserver", "resourceserver", "migrate"} {
		s, err := p.GetService(name)
		if err != nil {
			t.Fatal(err)
		}
		if !s.ReadOnly || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" || s.Privileged {
			t.Errorf("%s is not confined", name)
		}
	}
	rs, err := p.GetService("resourceserver")
	if err != nil {
		t.Fatal(err)
	}
	for name := range rs.Environment {
		if strings.HasPrefix(name, "DATABASE") || strings.HasPrefix(name, "GOOGLE_CLIENT") || name == "KEK_FILE" {
			t.Errorf("the resource server gets %s", name)
		}
	}
	for _, v := range rs.Volumes {
		if v.Source == "as-keys" {
			t.Error("the resource server mounts the key-encryption key")
		}
	}
}

// TestGoogleItself: the override needs the client's credentials and drops the stand-in.
func TestGoogleItself(t *testing.T) {
	t.Parallel()
	p := load(t, []string{"GOOGLE_CLIENT_ID=id", "GOOGLE_CLIENT_SECRET=s"}, "docker-compose.yml", "deploy/compose.google.yml")
	if _, err := p.GetService("fakegoogle"); err == nil {
		t.Error("the stand-in still runs")
	}
	as, err := p.GetService("authserver")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range as.Environment {
		if strings.HasPrefix(name, "GOOGLE_") && strings.HasSuffix(name, "_URL") && !strings.HasPrefix(*value, "https://") {
			t.Errorf("%s is %s", name, *value)
		}
	}
}
