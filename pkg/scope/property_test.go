package scope_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

const rounds = 600

func some(r *rand.Rand, all []string) oauth.Scopes {
	odds := r.Float64() * r.Float64()
	return oauth.NewScopes(slices.DeleteFunc(slices.Clone(all), func(string) bool { return r.Float64() > odds })...)
}

// opens has the methods that each Google scope opens.
var opens = func() map[string][]string {
	out := map[string][]string{}
	for _, group := range accepting {
		for _, g := range long(group.scopes).Slice() {
			out[g] = append(out[g], group.methods...)
		}
	}
	return out
}()

// opened are the methods that any of the Google scopes opens.
func opened(googleScopes oauth.Scopes) map[string]bool {
	out := map[string]bool{}
	for _, g := range googleScopes.Slice() {
		for _, m := range opens[g] {
			out[m] = true
		}
	}
	return out
}

// holds checks every law of the table for one set of scopes and one grant.
func holds(t *testing.T, asked, more, granted oauth.Scopes) {
	t.Helper()
	expanded := scope.Expand(asked)
	if !scope.Expand(expanded).Equal(expanded) || !expanded.ContainsAll(asked) {
		t.Errorf("expanding %s is not idempotent", asked)
	}
	if !scope.Expand(asked.Union(more)).ContainsAll(expanded) || !scope.Satisfies(asked.Union(more), asked) || !scope.Satisfies(asked, expanded) {
		t.Errorf("with %s, %s is worth less", more, asked)
	}
	plan, entitled := scope.GoogleFor(asked), scope.Entitled(asked)
	if !scope.GoogleFor(expanded).Equal(plan) || !entitled.ContainsAll(plan) {
		t.Errorf("%s asks Google for %s, and for something else once expanded", asked, plan)
	}
	for _, a := range plan.Slice() {
		for _, b := range plan.Slice() {
			if a != b && scope.Covers(a, b) {
				t.Errorf("%s asks for %s beside %s", asked, b, a)
			}
		}
	}
	known := asked.Intersect(scope.Names())
	if got := scope.Usable(asked, plan); !got.Equal(known) {
		t.Errorf("all that %s asks for is granted, and only %s works", asked, got)
	}
	usable := scope.Usable(asked, granted)
	if !known.ContainsAll(usable) || !scope.Usable(usable, granted).Equal(usable) || !scope.Usable(asked, granted.Union(plan)).Equal(known) {
		t.Errorf("%s with %s granted: usable %s", asked, granted, usable)
	}
	missing := scope.Missing(asked, granted)
	if !plan.ContainsAll(missing) || !missing.Intersect(granted).Empty() || !scope.Missing(asked, granted.Union(missing)).Empty() ||
		!scope.Usable(asked, granted.Union(missing)).Equal(known) {
		t.Errorf("%s with %s granted: missing %s", asked, granted, missing)
	}
	// The law of the exchange: what a token gets opens no method beyond what the
	// person was asked for its scopes, and serves what the table says it serves.
	planned, served := opened(plan), opened(granted.Intersect(entitled))
	for _, g := range scope.GoogleScopes() {
		if scope.AllowsGoogle(asked, g.Name) != entitled.Contains(g.Name) {
			t.Errorf("%s: AllowsGoogle and Entitled differ about %s", asked, g.Name)
		}
		if !entitled.Contains(g.Name) {
			continue
		}
		for _, m := range opens[g.Name] {
			if !planned[m] {
				t.Errorf("%s allows %s, which opens %s: nothing it asks for does", asked, g.Name, m)
			}
		}
		if scope.Lacking(asked, oauth.NewScopes(g.Name), granted).Empty() {
			for _, m := range opens[g.Name] {
				if !served[m] {
					t.Errorf("%s with %s granted: %s is served by a token that does not open %s", asked, granted, g.Name, m)
				}
			}
		}
	}
	for m := range served {
		if !planned[m] {
			t.Errorf("%s is handed a token for %s", asked, m)
		}
	}
}

// TestLaws: the laws of the table for random sets.
func TestLaws(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	ours := append(scope.Names().Slice(), scope.OfflineAccess, "unknown")
	theirs := append(scope.Entitled(scope.Names()).Slice(), scope.Identity()...)
	for range rounds {
		if holds(t, some(r, ours), some(r, ours), some(r, theirs)); t.Failed() {
			return
		}
	}
	for _, name := range ours { // and each alone
		holds(t, oauth.NewScopes(name), oauth.Scopes{}, some(r, theirs))
	}
}

// FuzzLaws: the same for whatever a client and Google send.
func FuzzLaws(f *testing.F) {
	f.Add("gmail.organize gmail.read", "drive.files", google+"gmail.modify")
	f.Add("drive.write forms.read", "", google+"drive openid")
	f.Add("openid claudeai offline_access", "x", "")
	f.Fuzz(func(t *testing.T, asked, more, granted string) {
		var parsed [3]oauth.Scopes
		for i, s := range []string{asked, more, granted} {
			var err error
			if parsed[i], err = oauth.ParseScopes(s); err != nil {
				return
			}
		}
		holds(t, parsed[0], parsed[1], parsed[2])
	})
}

// FuzzParseProfile: a name is one of three, byte for byte.
func FuzzParseProfile(f *testing.F) {
	for _, s := range []string{"lite", "standard", "full", "", "LITE", "full\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := scope.ParseProfile(s)
		if known := strings.Contains(" lite standard full ", " "+s+" ") && !strings.Contains(s, " ") && s != ""; known != (err == nil) || known != !p.Allowed().Empty() {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	})
}
