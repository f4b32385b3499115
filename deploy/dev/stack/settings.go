package stack

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
)

// Settings of the servers, by name, with the defaults of development.
var defaults = map[string]string{
	"AS_LISTEN":          "127.0.0.1:8080",
	"AS_INTERNAL_LISTEN": "127.0.0.1:8081",
	"AS_ADMIN_LISTEN":    "127.0.0.1:8082",
	"RS_LISTEN":          "127.0.0.1:8090",
	"FAKEGOOGLE_LISTEN":  "127.0.0.1:0", // any free port: only we need to know it
	"RS_CLIENT_ID":       "latchkey-rs",
}

// beyondBoundary are settings that the resource server must not even see
// (DESIGN §1.1); rsOnly the ones of the resource server alone.
var (
	beyondBoundary = []string{
		"DATABASE_URL", "DATABASE_URL_FILE", "DATABASE_MIGRATE_URL", "DATABASE_MIGRATE_URL_FILE",
		"KEK_FILE", "KEK_URI", "FROM_KEK_FILE", "FROM_KEK_URI", "VAULT_TOKEN", "VAULT_TOKEN_FILE",
		"GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GOOGLE_CLIENT_SECRET_FILE", "AS_INTERNAL_TLS_KEY_FILE",
	}
	rsOnly = []string{"RS_KEY_FILE", "RS_INTERNAL_TLS_KEY_FILE"}
)

type environment map[string]string

func parseEnvironment(list []string) environment {
	e := environment{}
	for _, pair := range list {
		if name, value, ok := strings.Cut(pair, "="); ok && value != "" {
			e[name] = value
		}
	}
	return e
}

func (e environment) has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return e[n] != "" })
}

func (e environment) without(names ...string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(e)) {
		if !slices.Contains(names, name) {
			out = append(out, name+"="+e[name])
		}
	}
	return out
}

// complete fills in what is not set. It reports every problem at once.
func (e environment) complete() error {
	var problems []error
	for name, value := range defaults {
		if e[name] == "" {
			e[name] = value
		}
		if strings.HasSuffix(name, "_LISTEN") {
			if _, port, err := net.SplitHostPort(e[name]); err != nil || port == "0" && name != "FAKEGOOGLE_LISTEN" {
				problems = append(problems, fmt.Errorf("%s %q is not host:port", name, e[name]))
			}
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	internal := reach(e["AS_INTERNAL_LISTEN"])
	if e.has("AS_INTERNAL_TLS_CERT_FILE") {
		internal = strings.Replace(internal, "http:", "https:", 1)
	}
	for name, value := range map[string]string{
		"ISSUER":          reach(e["AS_LISTEN"]),
		"RESOURCE_URL":    reach(e["RS_LISTEN"]) + "/mcp",
		"AS_INTERNAL_URL": internal,
	} {
		if e[name] == "" {
			e[name] = value
		}
	}
	if id, secret := e.has("GOOGLE_CLIENT_ID"), e.has("GOOGLE_CLIENT_SECRET", "GOOGLE_CLIENT_SECRET_FILE"); id != secret {
		problems = append(problems, errors.New("GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET (or GOOGLE_CLIENT_SECRET_FILE) belong together: set both for real Google, or neither for the stand-in"))
	}
	if u, err := url.Parse(e["ISSUER"]); err != nil || u.Host == "" {
		problems = append(problems, fmt.Errorf("ISSUER %q is not an absolute URL", e["ISSUER"]))
	}
	if u, err := url.Parse(e["RESOURCE_URL"]); err != nil || u.Host == "" {
		problems = append(problems, fmt.Errorf("RESOURCE_URL %q is not an absolute URL", e["RESOURCE_URL"]))
	}
	return errors.Join(problems...)
}

// reach is the URL at which this machine reaches a listen address.
func reach(listen string) string {
	host, port, _ := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// free reports the first listen address that another program holds. It spares
// people the search through a child's log; the servers check again themselves.
func (e environment) free(names ...string) error {
	for _, name := range names {
		l, err := net.Listen("tcp", e[name])
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("the address %s is already in use: stop the program that holds it, or set %s to another one", e[name], name)
		}
		if err != nil {
			return fmt.Errorf("cannot listen on %s (%s): %w", e[name], name, err)
		}
		_ = l.Close()
	}
	return nil
}
