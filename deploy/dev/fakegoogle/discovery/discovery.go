// Package discovery reads the Discovery documents that google.golang.org/api
// ships and reduces them to what a stand-in for Google enforces and the scope
// registry knows: which method a request is, which scopes allow it, and what
// Google says of them. It is used by the generators and by the test that finds
// drift.
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
	"calendar/v3/calendar", "chat/v1/chat", "docs/v1/docs", "drive/v3/drive", "forms/v1/forms", "gmail/v1/gmail", "meet/v2/meet", "people/v1/people",
	"sheets/v4/sheets", "slides/v1/slides", "tasks/v1/tasks",
}

// Workspace are the APIs that the scope registry (pkg/scope) knows: the whole
// of what the tools of the resource server are made of.
var Workspace = Documents

// API is one document, reduced.
type API struct {
	Name    string            // e.g. gmail
	Methods []Method          // sorted by ID
	Scopes  map[string]string // every scope the API knows, with Google's words for it
}

type document struct {
	Name        string              `json:"name"`
	Auth        auth                `json:"auth"`
	ServicePath string              `json:"servicePath"`
	Resources   map[string]resource `json:"resources"`
}

type auth struct {
	OAuth2 struct {
		Scopes map[string]struct {
			Description string `json:"description"`
		} `json:"scopes"`
	} `json:"oauth2"`
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

// Read reads the methods that the stand-in knows, sorted by ID.
func Read() ([]Method, error) {
	apis, err := ReadAPIs(Documents)
	if err != nil {
		return nil, err
	}
	var all []Method
	for _, a := range apis {
		all = append(all, a.Methods...)
	}
	slices.SortFunc(all, byID)
	return all, nil
}

func byID(a, b Method) int { return strings.Compare(a.ID, b.ID) }

// ReadAPIs reads documents from the module that the build uses.
func ReadAPIs(documents []string) ([]API, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		return nil, fmt.Errorf("finding google.golang.org/api: %w", err)
	}
	var all []API
	for _, name := range documents {
		b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(name)+"-api.json"))
		if err != nil {
			return nil, fmt.Errorf("reading Discovery document: %w", err)
		}
		var d document
		if err := json.Unmarshal(b, &d); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", name, err)
		}
		a := API{Name: d.Name, Scopes: map[string]string{}}
		for _, r := range d.Resources {
			collect(d.ServicePath, r, &a.Methods)
		}
		slices.SortFunc(a.Methods, byID)
		for s, words := range d.Auth.OAuth2.Scopes {
			a.Scopes[s] = words.Description
		}
		all = append(all, a)
	}
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
