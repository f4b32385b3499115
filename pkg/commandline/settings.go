package commandline

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"text/tabwriter"
)

// Source is where a setting's effective value comes from. Later ones win.
type Source string

const (
	Default     Source = "default"
	File        Source = "file" // of --config
	Environment Source = "environment"
	Flag        Source = "flag"
)

// Setting is one setting as config print shows it.
type Setting struct {
	Name   string `json:"setting"` // of its environment variable
	Value  string `json:"value"`   // Shown; never a secret
	Source Source `json:"source"`
}

// Secrecy says how much of a value is shown.
type Secrecy int

const (
	Open      Secrecy = iota // everything but passwords in URLs
	Secret                   // whether it is set
	SecretURL                // also host and database of a PostgreSQL URL
)

const (
	set    = "(set)"
	notSet = "(not set)"
)

var (
	hosts    = regexp.MustCompile(`^[A-Za-z0-9.:,\[\]_-]+$`)
	database = regexp.MustCompile(`^/[A-Za-z0-9_-]{1,63}$`)
)

// Shown is what may be shown of a setting's value.
func Shown(value string, s Secrecy) string {
	switch {
	case value == "":
		return notSet
	case s == Open:
		if u, err := url.Parse(value); strings.Contains(value, "@") && (err != nil || u.User != nil || strings.Contains(value, "://")) {
			return set + " not shown: it may hold a password"
		}
		return value
	case s == SecretURL:
		return set + place(value)
	}
	return set
}

// place is host and database of a PostgreSQL URL, "" where there is any doubt
// about what is password and what is not: an unescaped "/", "?", "#" or "@" in a
// password makes the rest of it look like something else.
func place(value string) string {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Fragment != "" {
		return ""
	}
	if at := strings.Count(value, "@"); at > 1 || at == 1 && u.User == nil || !hosts.MatchString(u.Host) || !database.MatchString(u.Path) {
		return ""
	}
	return " host " + u.Hostname() + ", database " + strings.TrimPrefix(u.Path, "/")
}

// WriteSettings writes a table.
func WriteSettings(w io.Writer, list []Setting) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SETTING\tSOURCE\tVALUE")
	for _, s := range list {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Source, s.Value)
	}
	return table.Flush()
}

// WriteJSON writes JSON for programs, indented for people.
func WriteJSON(w io.Writer, value any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(value)
}
