package main

import (
	"fmt"
	"os"
	"path/filepath"

	"latchkey/deploy/dev/pgcluster"
)

// settings are what the runner takes from the environment; the names are those
// of the servers' settings.
type settings struct {
	asListen, asInternal, asAdmin, rsListen string
	issuer, resource                        string
	databaseURL                             string
	googleID, googleSecret                  string
	googleSecretFile                        string
	bin, run, data                          string
	pgBin                                   string
	noInstall                               bool
}

func fromEnvironment() (settings, error) {
	get := func(name, def string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return def
	}
	s := settings{
		asListen: get("AS_LISTEN", "127.0.0.1:8080"), asInternal: get("AS_INTERNAL_LISTEN", "127.0.0.1:8081"), asAdmin: get("AS_ADMIN_LISTEN", "127.0.0.1:8082"),
		rsListen: get("RS_LISTEN", "127.0.0.1:8090"), databaseURL: os.Getenv("DATABASE_URL"),
		googleID: os.Getenv("GOOGLE_CLIENT_ID"), googleSecret: os.Getenv("GOOGLE_CLIENT_SECRET"), googleSecretFile: os.Getenv("GOOGLE_CLIENT_SECRET_FILE"),
		pgBin: os.Getenv("PG_BIN"), noInstall: os.Getenv("NO_INSTALL") != "",
	}
	s.issuer = get("ISSUER", "http://"+s.asListen)
	s.resource = get("RESOURCE_URL", "http://"+s.rsListen+"/mcp")
	if file := os.Getenv("DATABASE_URL_FILE"); file != "" && s.databaseURL == "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return s, fmt.Errorf("DATABASE_URL_FILE: %w", err)
		}
		s.databaseURL = string(b)
	}
	if (s.googleID == "") != (s.googleSecret == "" && s.googleSecretFile == "") {
		return s, fmt.Errorf("GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET go together: set both for Google itself, or neither for the stand-in")
	}
	var err error
	if s.run, err = filepath.Abs(".run"); err != nil {
		return s, err
	}
	if s.bin, err = filepath.Abs("bin"); err != nil {
		return s, err
	}
	if s.data = os.Getenv("LATCHKEY_DATA"); s.data == "" {
		pg, err := pgcluster.DefaultDir()
		if err != nil {
			return s, err
		}
		s.data = filepath.Dir(pg)
	}
	return s, nil
}

func (s settings) realGoogle() bool { return s.googleID != "" }
