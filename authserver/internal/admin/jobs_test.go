package admin_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/job"
	"latchkey/pkg/oauth"
)

// TestLongWorkIsBounded: whoever may read a tenant's trail can have it verified a few times an hour and not again and again; who asks
// while it is under way is told of that one, however often, and neither another tenant nor other work is refused for it.
func TestLongWorkIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authtest.Limits(1)).peopled()
	auditor := w.admin(w.acme.s.Tenant, oauth.NewScopes(admin.AuditRead))
	const trail = "/tenants/acme/audit/verify"
	for range 30 {
		if out := auditor.must(http.StatusAccepted, "POST", trail, nil).body; out["id"] != w.acme.verify.String() || out["state"] != "open" {
			t.Fatalf("%v", out)
		}
	}
	status, begun := http.StatusAccepted, 0
	for ; begun < 30 && status == http.StatusAccepted; begun++ {
		w.s.GoOnWorking(t)
		out := auditor.call("POST", trail, nil)
		if status = out.status; status == http.StatusTooManyRequests && (out.header.Get("Retry-After") == "" || out.body["code"] != "temporarily_unavailable") {
			t.Errorf("%v %s", out.header, out.raw)
		}
	}
	if status != http.StatusTooManyRequests || begun > 6 {
		t.Errorf("begun %d times, then %d", begun, status)
	}
	w.globex.own.must(http.StatusAccepted, "POST", "/tenants/globex/audit/verify", nil)
	w.acme.own.must(http.StatusAccepted, "POST", "/tenants/acme/data-keys/rewrap", nil)
}

// TestFailureIsShown: work that fails says why to its administrator, by the API and by the command: in a word and a sentence, and nothing
// of the error itself; a rewrap says to which key-encryption key it moves.
func TestFailureIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.visitor()
	w.owner(`ALTER TABLE data_keys NO FORCE ROW LEVEL SECURITY`, `UPDATE data_keys SET kek_id = 'canary-of-another-key'`)
	begun := w.root.must(http.StatusAccepted, "POST", "/tenants/default/data-keys/rewrap", nil).body
	if begun["state"] != "open" || begun["attempts"] != 0.0 || begun["failure"] != nil || begun["kek"] != kek(t, w.s).ID() {
		t.Errorf("%v", begun)
	}
	shown := func() answered {
		t.Helper()
		return w.root.must(http.StatusOK, "GET", "/tenants/default/data-keys/rewrap/"+begun["id"].(string), nil)
	}
	for range job.MaxAttempts {
		if out := shown().body; out["state"] != "open" {
			t.Fatalf("%v", out)
		}
		if err := w.s.TryWorking(); err == nil {
			t.Fatal("it did not fail")
		}
		w.jobs(`UPDATE jobs SET lease_until = now()`)
	}
	out := shown()
	why, _ := out.body["failure"].(map[string]any)
	if out.body["state"] != "failed" || out.body["attempts"] != float64(job.MaxAttempts) || why["code"] != "wrong_kek" || why["detail"] != job.WrongKEK.Text() || strings.Contains(out.raw, "canary") {
		t.Errorf("%s", out.raw)
	}
	for _, args := range [][]string{{"jobs", "list"}, {"jobs", "list", "--json"}} {
		var text, errs bytes.Buffer
		if code := app.Main(ctx, append(args, "--database-url", w.s.DSN), &text, &errs); code != 0 {
			t.Fatal(errs.String())
		}
		for _, want := range []string{begun["id"].(string), "rewrap", "failed", "wrong_kek", job.WrongKEK.Text()} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%v has no %q: %s", args, want, text.String())
			}
		}
		if len(args) == 3 && !json.Valid(text.Bytes()) || strings.Contains(text.String(), "canary") {
			t.Errorf("%s", text.String())
		}
	} // One that a server with another key is at is not taken for the one asked for.
	w.root.must(http.StatusAccepted, "POST", "/tenants/default/data-keys/rewrap", nil)
	w.owner(`UPDATE jobs SET kek_id = 'another', lease_owner = gen_random_uuid(), lease_until = now() + interval '1 hour' WHERE finished_at IS NULL`)
	if out := w.root.must(http.StatusConflict, "POST", "/tenants/default/data-keys/rewrap", nil); out.body["code"] != "other_kek" || strings.Contains(out.raw, "another\"") {
		t.Errorf("%s", out.raw)
	}
}
