package scope_test

import (
	"testing"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// TestTableIsComplete: whatever a person is asked for has words, and every
// implied scope exists.
func TestTableIsComplete(t *testing.T) {
	t.Parallel()
	for _, d := range scope.All() {
		if d.Text == "" || d.Product == "" || d.GoogleText == "" {
			t.Errorf("%s: no text for the consent page", d.Name)
		}
		for _, i := range d.Implies {
			if _, ok := scope.Lookup(i); !ok {
				t.Errorf("%s implies unknown scope %s", d.Name, i)
			}
		}
	}
	if scope.Names().Contains(scope.OfflineAccess) {
		t.Error("offline_access is not an access scope (SEP-2207)")
	}
}

// TestUntickedBoxNarrows: Google's partial consent drops exactly the scopes it starves.
func TestUntickedBoxNarrows(t *testing.T) {
	t.Parallel()
	asked := oauth.NewScopes("gmail.read", "drive.read", "accounts")
	granted := oauth.NewScopes("openid", "https://www.googleapis.com/auth/gmail.readonly")
	if got := scope.Usable(asked, granted).String(); got != "accounts gmail.read" {
		t.Error(got)
	}
}

// TestNoEscalation: a Google scope is allowed only through an MCP scope that needs it.
func TestNoEscalation(t *testing.T) {
	t.Parallel()
	mail := oauth.NewScopes("gmail.read")
	if !scope.AllowsGoogle(mail, "https://www.googleapis.com/auth/gmail.readonly") {
		t.Error("gmail.read must allow gmail.readonly")
	}
	for _, s := range []string{"https://www.googleapis.com/auth/drive.readonly", "https://mail.google.com/", "", "openid"} {
		if scope.AllowsGoogle(mail, s) {
			t.Errorf("gmail.read allows %q", s)
		}
	}
}
