package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"latchkey/deploy/dev/fakegoogle/discovery"
)

const google = "https://www.googleapis.com/auth/"

// traps are scopes that a method lists without being opened by them: Discovery
// lists what a call may need in all. They are taken out before anything is
// derived. One that Discovery no longer has is an error.
var traps = map[string][]string{
	// They let a writer of a presentation embed a spreadsheet's chart. None of
	// them writes presentations, and two are for reading only.
	"slides.presentations.batchUpdate": {google + "drive.readonly", google + "spreadsheets", google + "spreadsheets.readonly"},
	// A copy of a photo is a new file: the scope says what may be copied.
	"drive.files.copy": {google + "drive.photos.readonly"},
	// It changes a file's metadata and never its content.
	"drive.files.update": {google + "drive.metadata"},
}

// known is what Discovery says of one scope in use.
type known struct {
	name, words   string
	apis, methods []string
	covers        []string
}

// surveyed is the Discovery of the scopes in use, sorted by name, and of every
// method.
type surveyed struct {
	scopes  []*known
	methods []discovery.Method
}

// survey reduces Discovery to the scopes in use. Scope A covers B if every
// method that accepts B accepts A.
func survey(apis []discovery.API, used []string) (*surveyed, error) {
	out := &surveyed{}
	byName := map[string]*known{}
	for _, name := range used {
		byName[name] = &known{name: name}
		out.scopes = append(out.scopes, byName[name])
	}
	left := maps.Clone(traps)
	for _, a := range apis {
		for _, m := range a.Methods {
			for _, s := range traps[m.ID] {
				if !slices.Contains(m.Scopes, s) {
					return nil, fmt.Errorf("%s no longer lists %s: take the trap out", m.ID, s)
				}
			}
			delete(left, m.ID)
			m.Scopes = slices.DeleteFunc(slices.Clone(m.Scopes), func(s string) bool { return slices.Contains(traps[m.ID], s) })
			out.methods = append(out.methods, m)
			for _, s := range m.Scopes {
				k := byName[s]
				if k == nil {
					continue
				}
				if k.methods = append(k.methods, m.ID); !slices.Contains(k.apis, a.Name) {
					k.apis = append(k.apis, a.Name)
				}
				if k.words == "" {
					k.words = a.Scopes[s]
				}
			}
		}
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("no method of these traps exists any more: %s", strings.Join(slices.Sorted(maps.Keys(left)), ", "))
	}
	for _, a := range out.scopes {
		if len(a.methods) == 0 {
			return nil, fmt.Errorf("no method accepts %s", a.name)
		}
		slices.Sort(a.apis)
		for _, b := range out.scopes {
			if a != b && !slices.ContainsFunc(b.methods, func(m string) bool { return !slices.Contains(a.methods, m) }) {
				a.covers = append(a.covers, b.name)
			}
		}
	}
	return out, nil
}
