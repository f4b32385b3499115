package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"latchkey/pkg/secret"
)

// TestNothingPrintsASecret: DESIGN §1.7, no secret reaches a log or an error text.
func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	const canary = "canary-7d1f"
	text, raw := secret.NewText(canary), secret.NewBytes([]byte(canary))
	holder := struct {
		A secret.Text
		B *secret.Text
		C secret.Bytes
		D map[string]secret.Text
	}{text, &text, raw, map[string]secret.Text{"k": text}}

	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{text, &text, raw, holder, fmt.Errorf("wrapped: %v", text)} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	j, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	var logs bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&logs, nil), slog.NewTextHandler(&logs, nil)} {
		slog.New(h).Info("m", "a", text, "b", raw, "c", holder)
	}
	out.Write(logs.Bytes())
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary))} {
		if strings.Contains(out.String(), form) {
			t.Errorf("secret printed as %q", form)
		}
	}
}

// TestEmptyNeverEqualsEmpty: an absent state must not match an absent state.
func TestEmptyNeverEqualsEmpty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{{"", "", false}, {"a", "", false}, {"a", "b", false}, {"a", "ab", false}, {"a", "a", true}} {
		if got := secret.NewText(c.a).Equal(secret.NewText(c.b)); got != c.want {
			t.Errorf("%q == %q: %v", c.a, c.b, got)
		}
	}
}
