// Package discovery reads the Discovery documents that google.golang.org/api
// ships and reduces them to what a stand-in for Google enforces: which method a
// request is, and which scopes allow it. It is used by the generator and by
// the test that finds drift.
package discovery

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Method is one REST method.
type Method struct {
	ID     string   `json:"id"`     // e.g. gmail.users.threads.list
	Verb   string   `json:"verb"`   // HTTP method
	Path   string   `json:"path"`   // template, with the service's path before it
	Upload bool     `json:"upload"` // also at /upload/<path>
	Scopes []string `json:"scopes"` // any of these allows it
}

// Documents are the APIs that the stand-in knows, by their place in the module.
var Documents = []string{
	"calendar/v3/calendar", "docs/v1/docs", "drive/v3/drive", "gmail/v1/gmail", "people/v1/people", "sheets/v4/sheets", "tasks/v1/tasks",
}

type document struct {
	ServicePath string              `json:"servicePath"`
	Resources   map[string]resource `json:"resources"`
}

type resource struct {
	Methods   map[string]method   `json:"methods"`
	Resources map[string]resource `json:"resources"`
}

type method struct {
	ID                  string   `json:"id"`
	HTTPMethod          string   `json:"httpMethod"`
	Path                string   `json:"path"`
	FlatPath            string   `json:"flatPath"`
	Scopes              []string `json:"scopes"`
	SupportsMediaUpload bool     `json:"supportsMediaUpload"`
}

// Read reads every document from the module that the build uses.
func Read() ([]Method, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		return nil, fmt.Errorf("finding google.golang.org/api: %w", err)
	}
	var all []Method
	for _, name := range Documents {
		b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(name)+"-api.json"))
		if err != nil {
			return nil, fmt.Errorf("reading Discovery document: %w", err)
		}
		var d document
		if err := json.Unmarshal(b, &d); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", name, err)
		}
		for _, r := range d.Resources {
			collect(d.ServicePath, r, &all)
		}
	}
	slices.SortFunc(all, func(a, b Method) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func collect(servicePath string, r resource, all *[]Method) {
	for _, m := range r.Methods {
		path := m.FlatPath
		if path == "" {
			path = m.Path
		}
		slices.Sort(m.Scopes)
		*all = append(*all, Method{ID: m.ID, Verb: m.HTTPMethod, Path: servicePath + path, Upload: m.SupportsMediaUpload, Scopes: m.Scopes})
	}
	for _, sub := range r.Resources {
		collect(servicePath, sub, all)
	}
}

// Encode is the form in which the table is committed: one method a line.
func Encode(methods []Method) ([]byte, error) {
	var b strings.Builder
	b.WriteString("[\n")
	for i, m := range methods {
		line, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		b.Write(line)
		if i < len(methods)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n")
	return []byte(b.String()), nil
}
