package blackbox_test

import (
	"encoding/json"
	"errors"
	"syscall"
	"testing"
	"time"

	"latchkey/deploy/dev/smoke"
)

// TestOutageOfEverythingBehind: DESIGN §1.5: while the authorization server and its
// database are gone, calls go on with the Google tokens at hand. Near the end of
// these they fail with an error to try again by, and nobody is told to sign in.
// When both are back, calls work, and nobody did anything. Alice's token lives for
// an hour, however long this machine takes; the end of bob's comes meanwhile.
func TestOutageOfEverythingBehind(t *testing.T) {
	t.Parallel()
	const (
		margin = 60 * time.Second // what the resource server leaves unused of a Google token's life
		usable = 20 * time.Second
	)
	s := own(t, "RATE_LIMIT_SCALE=1000") // one person calls more than a person does
	alice := signedIn(t, s)
	works(t, alice) // now the resource server has a Google token
	s.Google.SetTokenLifetime(margin + usable)
	bob, err := smoke.New(smoke.Config{MCPURL: s.MCPURL, Account: "bob@example.com", Out: t.Output()})
	must(t, err)
	// Signing in brings the Google token that the first call gets: however slow this
	// machine is, that token is no older than begun.
	begun := time.Now()
	must(t, bob.SignIn(t.Context()))
	_, err = bob.CallTool(t.Context(), smoke.DefaultTool, nil)
	must(t, err)
	rs, signIns := s.RS.PID(), s.Google.Count("POST /o/oauth2/v2/consent")

	s.AS.Kill()
	must(t, s.EndDatabase(syscall.SIGKILL))
	// outcome is "" for a call that works, else the code of its error, which must
	// be one to try again by.
	outcome := func(c *smoke.Client) string {
		t.Helper()
		result, err := c.CallTool(t.Context(), smoke.DefaultTool, nil)
		if err == nil {
			return ""
		}
		var refused *smoke.StatusError
		var e struct {
			Code      string
			Retryable bool
			Link      string
		}
		if errors.As(err, &refused) || result == nil || json.Unmarshal(result.Structured, &e) != nil {
			t.Fatalf("no typed error: %v", err)
		}
		if e.Code != "temporarily_unavailable" || !e.Retryable || e.Link != "" {
			t.Fatalf("not an error to try again by: %s", result.Structured)
		}
		return e.Code
	}
	for range 10 {
		works(t, alice)
	}
	refreshes := s.Google.Count("POST /token") // also one ahead that was under way
	eventually(t, "the token at hand is used up", func() bool { return outcome(bob) != "" })
	if took := time.Since(begun); took < usable-time.Second { // Google counts whole seconds
		t.Errorf("calls ended %v after the sign-in began, the token was good for %v", took, usable)
	}
	for range 5 {
		if outcome(bob) == "" {
			t.Error("a call worked without a token")
		}
		works(t, alice)
	}
	if n := s.Google.Count("POST /token"); n != refreshes {
		t.Errorf("%d requests for tokens during the outage", n-refreshes)
	}

	must(t, s.StartDatabase(t.Context()))
	must(t, s.AS.Start())
	eventually(t, "calls work again", func() bool { return outcome(bob) == "" })
	works(t, alice)
	if s.RS.PID() != rs || s.Google.Count("POST /o/oauth2/v2/consent") != signIns {
		t.Error("the resource server was restarted, or somebody had to sign in")
	}
}
