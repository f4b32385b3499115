package policy_test

import (
	"testing"

	"latchkey/resourceserver/internal/policy"
)

// TestLeast: what nobody configured is not allowed.
func TestLeast(t *testing.T) {
	t.Parallel()
	p := policy.From(t.Context())
	if p.MaySend() || p.MayShareOutside() || p.MayAskByClient() {
		t.Error("a call without a policy may act")
	}
	p = policy.From(policy.With(t.Context(), policy.Policy{Send: policy.SendConfirm, ExternalShare: policy.ShareConfirm, Confirmation: policy.ConfirmByClient}))
	if !p.MaySend() || !p.MayShareOutside() || !p.MayAskByClient() || !p.Reaches("a@anywhere.test") {
		t.Error("what was allowed is not")
	}
}

// TestReaches: domains are compared exactly, in one form.
func TestReaches(t *testing.T) {
	t.Parallel()
	p := policy.Policy{RecipientDomains: []string{"example.com", "xn--bcher-kva.example"}}
	for address, want := range map[string]bool{
		"a@example.com":                 true,
		"a@EXAMPLE.com":                 true,
		"a@example.com.":                true,
		"a@bücher.example":              true,
		"a@sub.example.com":             false,
		"a@notexample.com":              false,
		"a@example.com.evil.test":       false,
		`"a@example.com"@evil.test`:     false,
		"a@example.com@evil.test":       false,
		"a@exаmple.com":                 false, // Cyrillic а
		"example.com":                   false,
		"a@":                            false,
		"":                              false,
		"a@[192.0.2.1]":                 false,
		"a@example.com\u200b.evil.test": false,
	} {
		if got := p.Reaches(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}
