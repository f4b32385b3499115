package admin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/vault"
)

// TestCursors: a cursor is good for the next page of its list, for its administrator, with its filters and tenant, for an hour;
// any other is 400 and tells nothing.
func TestCursors(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	p := w.acme
	for i := range 4 {
		if err := w.db.BeginSession(ctx, p.s.Tenant, session.New{SecretHash: sha256.Sum256([]byte{byte(i)}), ID: uuid.Must(uuid.NewV7()), Subject: p.subject, Most: 20}); err != nil {
			t.Fatal(err)
		}
	}
	const list = "/tenants/acme/sessions"
	cursorOf := func(a *adm, path string) string {
		t.Helper()
		next, _ := a.must(http.StatusOK, "GET", path, nil).body["next_cursor"].(string)
		if next == "" {
			t.Fatalf("%s has no next page", path)
		}
		return next
	}
	good := cursorOf(w.root, list+"?limit=2")
	seen := map[string]bool{}
	for next, n := "", 0; n < 5; n++ {
		path := list + "?limit=2"
		if next != "" {
			path += "&cursor=" + next
		}
		out := w.root.must(http.StatusOK, "GET", path, nil)
		for _, one := range out.items() {
			if id := one["id"].(string); seen[id] {
				t.Errorf("%s is on two pages", id)
			} else {
				seen[id] = true
			}
		}
		if next, _ = out.body["next_cursor"].(string); next == "" {
			break
		}
	}
	if all := w.root.must(http.StatusOK, "GET", list+"?limit=200", nil).items(); len(seen) != len(all) || len(all) < 5 {
		t.Errorf("%d of %d sessions on the pages", len(seen), len(all))
	}
	w.root.must(http.StatusOK, "GET", list+"?limit=3&cursor="+good, nil) // another size goes on
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	edited := append([]byte{}, raw...)
	edited[len(edited)-1] ^= 1
	another := append([]byte{}, raw...)
	another[5] ^= 1 // the data key's id
	for name, c := range map[string]struct {
		by         *adm
		path, with string
	}{
		"edited":                    {w.root, list, base64.RawURLEncoding.EncodeToString(edited)},
		"under another key":         {w.root, list, base64.RawURLEncoding.EncodeToString(another)},
		"cut":                       {w.root, list, good[:20]},
		"with bits left over":       {w.root, list, good + "="},
		"with another filter":       {w.root, list + "?subject=" + p.subject.String(), good},
		"of another filter":         {w.root, list, cursorOf(w.root, list+"?limit=2&subject="+p.subject.String())},
		"of another list":           {w.root, "/tenants/acme/grants", good},
		"of another tenant":         {w.root, "/tenants/globex/sessions", good},
		"of another administrator":  {p.own, list, good},
		"of the other, at this one": {w.root, list, cursorOf(p.own, list+"?limit=2")},
	} {
		sign := "?"
		if c.path != list && len(c.path) > len("/tenants/acme/sessions?") && c.path[len(list)] == '?' {
			sign = "&"
		}
		if out := c.by.call("GET", c.path+sign+"cursor="+c.with, nil); out.status != http.StatusBadRequest || out.body["detail"] != "The cursor is not of this list, or too old. Begin with the first page." {
			t.Errorf("%s: %d %s", name, out.status, out.raw)
		}
	}
	// What the vault sealed for another purpose is none.
	v, err := vault.New(vault.Config{KEK: kek(t, w.s), Store: w.db})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := v.Seal(ctx, vault.Binding{Tenant: w.s.Tenant, Purpose: vault.Email}, []byte(`{"a":"","e":9999999999}`))
	if err != nil {
		t.Fatal(err)
	}
	if out := w.root.call("GET", list+"?cursor="+base64.RawURLEncoding.EncodeToString(sealed), nil); out.status != http.StatusBadRequest {
		t.Errorf("%d %s", out.status, out.raw)
	}
}

// TestCursorEnds: a cursor is good for an hour.
func TestCursorEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v, err := vault.New(vault.Config{KEK: kek(t, w.s), Store: w.db})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for age, ok := range map[time.Duration]bool{0: true, 59 * time.Minute: true, 61 * time.Minute: false} {
		at := begin
		got, err := admin.CursorRoundTrip(ctx, v, func() time.Time { return at }, func() { at = begin.Add(age) })
		if (err == nil) != ok || ok && got != "after" {
			t.Errorf("after %v: %q %v", age, got, err)
		}
	}
}
