package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle/discovery"
	"latchkey/pkg/scope"
)

// TestCommittedFilesAreCurrent: what is committed is what Discovery and the
// registry make today (GOOGLE 6, no. 27).
func TestCommittedFilesAreCurrent(t *testing.T) {
	t.Parallel()
	apis, err := discovery.ReadAPIs(discovery.Workspace)
	if err != nil {
		t.Fatal(err)
	}
	k, err := survey(apis, scope.Entitled(scope.Names()).Slice())
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range files {
		want, err := write(k)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", "..", "..", "..", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is out of date: run go run ./deploy/dev/cmd/scopes .", name)
		}
	}
}

// method is a method with the scopes that Discovery lists.
func method(id string, scopes ...string) discovery.Method {
	for i := range scopes {
		scopes[i] = google + scopes[i]
	}
	return discovery.Method{ID: id, Verb: "GET", Scopes: scopes}
}

// trapped are the methods of the traps, as Discovery has them.
func trapped() []discovery.Method {
	return []discovery.Method{
		method("slides.presentations.batchUpdate", "drive", "drive.readonly", "spreadsheets", "spreadsheets.readonly", "presentations"),
		method("drive.files.copy", "drive", "drive.photos.readonly"), method("drive.files.update", "drive", "drive.metadata"),
	}
}

// TestSurvey: coverage is what the methods' lists say once the traps are out,
// and a rule that Discovery has overtaken stops the generator.
func TestSurvey(t *testing.T) {
	t.Parallel()
	of := func(more ...discovery.Method) []discovery.API {
		return []discovery.API{{Name: "any", Methods: append(trapped(), more...), Scopes: map[string]string{google + "wide": "Do it all"}}}
	}
	used := []string{google + "narrow", google + "other", google + "wide"}
	k, err := survey(of(method("a", "narrow", "wide"), method("b", "other", "wide"), method("c", "other")), used)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", google + "narrow"} {
		if got := strings.Join(k.scopes[i].covers, " "); got != want {
			t.Errorf("%s covers %q, not %q", k.scopes[i].name, got, want)
		}
	}
	if k.scopes[2].words != "Do it all" {
		t.Errorf("Google's words: %q", k.scopes[2].words)
	}
	// Without its trap slides.presentations.batchUpdate would give drive.readonly a method that writes.
	k, err = survey(of(method("a", "drive.readonly")), []string{google + "drive.readonly"})
	if err != nil || !slices.Equal(k.scopes[0].methods, []string{"a"}) {
		t.Errorf("a scope for reading opens more: %+v, %v", k, err)
	}
	for name, c := range map[string]struct {
		apis []discovery.API
		used []string
		want string
	}{
		"a scope that no method accepts": {of(), []string{google + "gone"}, "no method accepts"},
		"a trap's method is gone":        {[]discovery.API{{Name: "any", Methods: trapped()[1:]}}, nil, "slides.presentations.batchUpdate"},
		"a trap is mended": {[]discovery.API{{Name: "any", Methods: []discovery.Method{method("slides.presentations.batchUpdate", "presentations")}}}, nil,
			"take the trap out"},
	} {
		if _, err := survey(c.apis, c.used); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
