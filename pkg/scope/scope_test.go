package scope_test

import (
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

const google = "https://www.googleapis.com/auth/"

func long(short string) oauth.Scopes {
	names := strings.Fields(short)
	for i := range names {
		names[i] = google + names[i]
	}
	return oauth.NewScopes(names...)
}

func mcp(names string) oauth.Scopes { return oauth.NewScopes(strings.Fields(names)...) }

// TestTableIsComplete: whatever a person is asked for has words, a class and a
// place in Discovery, and every scope named exists.
func TestTableIsComplete(t *testing.T) {
	t.Parallel()
	discovered := map[string]bool{}
	for _, g := range scope.GoogleScopes() {
		discovered[g.Name] = true
		if g.Description == "" || len(g.APIs) == 0 || !scope.Classified(g.Name) {
			t.Errorf("%s: no words, no API or no class", g.Name)
		}
	}
	needed := map[string]string{}
	texts := map[string]bool{}
	for _, d := range scope.All() {
		if d.Text == "" || d.Product == "" || d.GoogleText == "" || texts[d.Text] {
			t.Errorf("%s: no text of its own for the consent page", d.Name)
		}
		texts[d.Text] = true
		for _, name := range append(slices.Clone(d.Implies), d.StandsIn...) {
			if _, ok := scope.Lookup(name); !ok || name == d.Name {
				t.Errorf("%s implies or stands in for %s", d.Name, name)
			}
		}
		for _, g := range d.Google {
			if !discovered[g] {
				t.Errorf("%s needs %s, which is not in Discovery: run deploy/dev/cmd/scopes", d.Name, g)
			}
			if other := needed[g]; other != "" {
				t.Errorf("%s and %s both need %s: which is asked for in an insufficient_scope answer?", other, d.Name, g)
			}
			needed[g] = d.Name
			if got := scope.Needed(g).String(); got != d.Name {
				t.Errorf("%s is needed for %s, not %s", d.Name, g, got)
			}
		}
	}
	for _, n := range []int{len(discovered) - len(needed), scope.Classes() - len(needed)} {
		if n != 0 {
			t.Errorf("%d scopes of Google have no scope of ours", n)
		}
	}
	if scope.Names().Contains(scope.OfflineAccess) || !scope.Needed("").Empty() || !scope.Needed("https://mail.google.com/").Empty() {
		t.Error("offline_access is an access scope (SEP-2207), or somebody may delete mail for good")
	}
	if !scope.Names().ContainsAll(scope.Baseline()) {
		t.Error("the baseline has unknown scopes")
	}
}

// TestImplications: who holds one scope may do what another allows, and no more.
func TestImplications(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		granted, required string
		want              bool
	}{
		"write is read":                         {"tasks.write contacts.write calendar.write", "tasks.read contacts.read calendar.read", true},
		"organize is read":                      {"gmail.organize", "gmail.read", true},
		"all files are the editors' files":      {"drive.write", "drive.read drive.files docs.write sheets.write slides.write forms.write forms.read", true},
		"reading files is reading documents":    {"drive.read", "docs.read sheets.read slides.read", true},
		"drive.file serves the editors":         {"drive.files", "docs.write docs.read sheets.write slides.read forms.write", true},
		"drafts are not mail":                   {"gmail.draft", "gmail.read", false},
		"drafts are not sent":                   {"gmail.draft", "gmail.send", false},
		"organizing does not send":              {"gmail.organize", "gmail.send", false},
		"organizing does not write":             {"gmail.organize", "gmail.draft", false},
		"settings do not read mail":             {"gmail.settings", "gmail.read", false},
		"reading is not writing":                {"drive.read", "docs.write", false},
		"a form's answers are not in its file":  {"drive.read", "forms.read", false},
		"documents are not all files":           {"docs.write sheets.write slides.write forms.write", "drive.read", false},
		"the app's files are not all files":     {"drive.files", "drive.read", false},
		"all files are not only the app's":      {"drive.read", "drive.files", false},
		"sending is not reading a conversation": {"chat.send", "chat.read", false},
		"offline_access is nothing":             {"offline_access", "accounts", false},
		"an unknown scope satisfies nothing":    {"mail.all", "gmail.read", false},
		"an unknown need is not met":            {"drive.write", "mail.all", false},
	} {
		if got := scope.Satisfies(mcp(c.granted), mcp(c.required)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestStandsIn: the app's own files are no way to all of them.
func TestStandsIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ held, need, want string }{
		"own files":          {"drive.files accounts", "documents", "drive.file"},
		"own files, reading": {"drive.files", "forms.responses.readonly", "drive.file"},
		"all documents":      {"drive.files docs.write", "documents", "documents"},
		"all files":          {"drive.write", "documents", "documents"},
		"all files, reading": {"drive.read", "spreadsheets.readonly", "spreadsheets.readonly"},
		"nothing held":       {"gmail.read", "documents", "documents"},
		"no files' scope":    {"drive.files", "gmail.readonly", "gmail.readonly"},
	} {
		if got := scope.Ask(mcp(c.held), long(c.need)); !got.Equal(long(c.want)) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if scope.AllowsGoogle(mcp("drive.files"), google+"documents") || scope.AllowsGoogle(mcp("drive.files"), google+"drive") {
		t.Error("drive.files entitles to files that the app has not made")
	}
}

// TestPlan: never a narrow scope beside one that covers it, and nothing lost by that (GOOGLE 3.3).
func TestPlan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ want, google string }{
		"nothing":                   {"accounts offline_access", ""},
		"least":                     {"gmail.read", "gmail.readonly"},
		"modify covers all of mail": {"gmail.read gmail.organize gmail.draft gmail.send", "gmail.modify"},
		"compose covers sending":    {"gmail.draft gmail.send", "gmail.compose"},
		"settings stand alone":      {"gmail.organize gmail.settings", "gmail.modify gmail.settings.basic"},
		"files":                     {"drive.write drive.read drive.files docs.write forms.read", "drive"},
		"part and whole":            {"drive.files docs.write", "drive.file documents"},
		"part and reading":          {"drive.files drive.read sheets.read", "drive.file drive.readonly"},
		"writing brings reading":    {"calendar.write", "calendar.events calendar.calendarlist.readonly calendar.freebusy"},
	} {
		if got := scope.GoogleFor(mcp(c.want)); !got.Equal(long(c.google)) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestUntickedBoxNarrows: Google's partial consent drops exactly the scopes it starves.
func TestUntickedBoxNarrows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ asked, granted, want, missing string }{
		"one of two":                         {"gmail.read drive.read accounts", "gmail.readonly", "accounts gmail.read", "drive.readonly"},
		"covered by what is asked as well":   {"gmail.organize gmail.read gmail.send", "gmail.modify", "gmail.organize gmail.read gmail.send", ""},
		"all that covered it is gone":        {"gmail.organize gmail.send", "gmail.readonly", "", "gmail.modify"},
		"one of three that it needs":         {"calendar.read", "calendar.events.readonly calendar.freebusy", "", "calendar.calendarlist.readonly"},
		"granted to another app only":        {"gmail.read", "gmail.modify", "", "gmail.readonly"},
		"granted to another app beside it":   {"gmail.read", "gmail.modify gmail.readonly", "gmail.read", ""},
		"a part is not the whole":            {"docs.write", "drive.file", "", "documents"},
		"a dropped scope covers nothing":     {"drive.write docs.read", "drive.readonly", "", "drive"},
		"unknown scopes are no access":       {"mail.all accounts", "gmail.modify", "accounts", ""},
		"the whole is not asked for a part":  {"drive.files", "drive", "", "drive.file"},
		"writing granted, the list is not":   {"calendar.write", "calendar.events", "calendar.write", "calendar.calendarlist.readonly calendar.freebusy"},
		"writing granted, reading is asked":  {"calendar.write calendar.read", "calendar.events", "calendar.write", "calendar.calendarlist.readonly calendar.freebusy"},
		"reading needs no scope of its own":  {"calendar.write calendar.read", "calendar.events calendar.calendarlist.readonly calendar.freebusy", "calendar.read calendar.write", ""},
		"what was granted is not asked anew": {"gmail.read drive.read tasks.read", "gmail.readonly tasks", "gmail.read", "drive.readonly tasks.readonly"},
	} {
		granted := long(c.granted).Union(oauth.NewScopes("openid"))
		if got := scope.Usable(mcp(c.asked), granted); !got.Equal(mcp(c.want)) {
			t.Errorf("%s: usable: %s", name, got)
		}
		if got := scope.Missing(mcp(c.asked), granted); !got.Equal(long(c.missing)) {
			t.Errorf("%s: missing: %s", name, got)
		}
	}
}

// TestNoEscalation: a Google scope is allowed only through an MCP scope that needs it (DESIGN 1.1).
func TestNoEscalation(t *testing.T) {
	t.Parallel()
	for held, c := range map[string]struct{ allowed, refused string }{
		"gmail.read":     {"gmail.readonly", "gmail.modify gmail.compose gmail.send gmail.settings.basic drive.readonly gmail.metadata"},
		"gmail.organize": {"gmail.modify gmail.readonly", "gmail.send gmail.compose gmail.settings.basic"},
		"gmail.draft":    {"gmail.compose", "gmail.send gmail.modify gmail.readonly"},
		"drive.read":     {"drive.readonly documents.readonly", "drive drive.file documents forms.responses.readonly"},
		"drive.files":    {"drive.file", "drive drive.readonly documents documents.readonly"},
		"calendar.read":  {"calendar.events.readonly calendar.freebusy", "calendar.events calendar"},
		"accounts":       {"", "gmail.readonly userinfo.email"},
		"offline_access": {"", "gmail.readonly"},
	} {
		for _, g := range long(c.allowed).Slice() {
			if !scope.AllowsGoogle(mcp(held), g) {
				t.Errorf("%s does not allow %s", held, g)
			}
		}
		for _, g := range append(long(c.refused).Slice(), "https://mail.google.com/", "", "openid", "email") {
			if scope.AllowsGoogle(mcp(held), g) {
				t.Errorf("%s allows %q", held, g)
			}
		}
	}
}

// TestProfiles: nothing that Google restricts in lite, and each profile is closed under what its scopes imply.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for _, name := range scope.Lite.Allowed().Slice() {
		d, _ := scope.Lookup(name)
		if d.Sensitivity() == scope.Restricted {
			t.Errorf("lite has %s, which is restricted", name)
		}
	}
	for _, g := range scope.GoogleFor(scope.Lite.Allowed()).Slice() {
		if scope.SensitivityOf(g) == scope.Restricted {
			t.Errorf("lite asks for %s, which is restricted", g)
		}
	}
	last := oauth.Scopes{}
	for _, p := range []scope.Profile{scope.Lite, scope.Standard, scope.Full} {
		allowed := p.Allowed()
		if !scope.Names().ContainsAll(allowed) || !scope.Expand(allowed).Equal(allowed) || !allowed.ContainsAll(last) || allowed.Equal(last) {
			t.Errorf("%s: %s", p, allowed)
		}
		if got, err := scope.ParseProfile(string(p)); err != nil || got != p {
			t.Errorf("%s: %v", p, err)
		}
		last = allowed
	}
	if !last.Equal(scope.Names()) || !scope.Standard.Allowed().ContainsAll(scope.Baseline()) {
		t.Error("full is not everything, or standard has not what is granted at first")
	}
	for _, s := range []string{"", "Lite", "lite ", "all"} {
		if p, err := scope.ParseProfile(s); err == nil || !p.Allowed().Empty() || !scope.Profile(s).Allowed().Empty() {
			t.Errorf("profile %q allows something", s)
		}
	}
	if scope.SensitivityOf("https://mail.google.com/") != scope.Restricted {
		t.Error("an unknown scope is not taken for restricted")
	}
}
