package blackbox_test

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// marks are how secrets and personal data look: ours, the stand-in's, cookies.
var marks = []string{
	"eyJ", "lkc_", "lkr_", "ya29.", "1//0", "4/0A", "latchkey-csrf", "latchkey-flow", "Bearer ", "code_verifier", "canary",
	"alice@", "alice%40", "example.com", "Quarterly",
}

// TestNothingSecretIsLogged: DESIGN §1.7, at the log's most talkative, after a
// whole flow and after failures of each kind.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	t.Run("A26 AS-S1 AS-S3 nothing secret in the logs of both servers and in the files of the database", nothingSecretIsLogged)
}

func nothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	s := own(t)
	c := signedIn(t, s)
	must(t, c.Initialize(t.Context()))
	for _, tool := range []string{"account_status", "gmail_search_threads", "drive_search", "calendar_list_events"} {
		_, err := c.CallTool(t.Context(), tool, []byte(`{}`))
		must(t, err)
	}
	spoilt := c.RefreshForm()
	spoilt.Set("refresh_token", spoilt.Get("refresh_token")+"canary")
	used := c.RedeemForm()
	for _, form := range []url.Values{spoilt, used, {"grant_type": {"canary"}, "client_id": {"canary"}, "code": {"canary"}}} {
		if _, err := c.Token(t.Context(), "a failure", form); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = c.CallTool(t.Context(), "gmail_search_threads", []byte(`{"query":"canary from:alice@example.com","page_token":"canary"}`))
	_, _ = c.CallTool(t.Context(), "no_such_tool_canary", []byte(`{"canary":1}`))
	fresh := signedIn(t, s)
	must(t, s.EndDatabase(syscall.SIGINT)) // and the words of an outage
	_, err := fresh.Token(t.Context(), "refresh in an outage", fresh.RefreshForm())
	must(t, err)

	for _, log := range []string{s.AS.Log, s.RS.Log} {
		b, err := os.ReadFile(log)
		must(t, err)
		if bytes.Count(b, []byte("\n")) < 10 {
			t.Errorf("%s is almost empty: the test looks in the wrong place", log)
		}
		for _, secret := range append(append(c.Secrets(), fresh.Secrets()...), marks...) {
			for line := range strings.Lines(string(b)) {
				if strings.Contains(line, secret) {
					t.Errorf("%s holds %.12q: %.300s", filepath.Base(log), secret, line)
				}
			}
		}
	}
	// At rest (DESIGN §1.6): neither Google's credentials nor ours nor an address
	// stands in the database's files, its log included.
	refresh := s.Google.RefreshTokens() // whole: their first four bytes may be those of something sealed by chance
	if len(refresh) == 0 {
		t.Error("Google gave no refresh token")
	}
	secrets := append(append(c.Secrets(), refresh...), "ya29.", "alice@")
	err = filepath.WalkDir(s.DatabaseDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range secrets {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("the database's file %s holds %.12q", filepath.Base(path), secret)
			}
		}
		return nil
	})
	must(t, err)
}
