package exchange_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/tenant"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// cases is how many random cases a property is tried on: LATCHKEY_CASES (10000 is the promise), or few
// enough for every run.
func cases(t *testing.T) int {
	t.Helper()
	if s := os.Getenv("LATCHKEY_CASES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 2_000
}

// inParallel tries a property with a random source of each case's own, which a
// failure names.
func inParallel(t *testing.T, try func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	const workers = 8
	n, seed := cases(t), rand.Uint64()
	t.Logf("%d cases, seed %d", n, seed)
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := worker; i < n && !t.Failed(); i += workers {
				try(t, rand.New(rand.NewPCG(seed, uint64(i))))
			}
		})
	}
	wg.Wait()
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// TestNobodyElsesRows: DESIGN §1.1 and §1.3 [law]: a token in which anything is another tenant's, person's, client's, resource's or grant's, in every
// combination, an account of somebody else's, or a caller that is not the resource server, gets nothing; and what belongs together gets its
// own account and no other.
func TestNobodyElsesRows(t *testing.T) {
	t.Parallel()
	t.Run("A5 A13 A14 A23 AS-X1 no combination of one's own and another's rows gets a token", nobodyElsesRows)
}

func nobodyElsesRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	var mu sync.Mutex
	allowed, refusals := 0, map[string]int{}
	inParallel(t, func(t *testing.T, r *rand.Rand) {
		a, by := pick(r, w.rows), w.rightCaller()
		c, signer, want := a.claims(), a.tenant, true
		if r.IntN(4) > 0 { // a quarter is left as it is
			for what := range 7 {
				if r.IntN(4) > 0 {
					continue
				}
				b := pick(r, w.rows)
				switch what {
				case 0:
					signer = b.tenant
				case 1:
					c.Issuer = b.tenant.Issuer.String()
				case 2:
					c.Tenant = b.tenant.ID.String()
				case 3:
					c.Subject = b.person.subject.String()
				case 4:
					c.ClientID = b.client
				case 5:
					c.Audience = b.resource.String()
				case 6:
					c.Grant = b.id.String()
				}
			}
		}
		// The oracle: everything is of one live row.
		t0 := w.tenantOf(c.Tenant)
		row := w.byID[t0.ID][uuid.MustParse(c.Grant)]
		want = row != nil && row.live && signer == t0 && c.Issuer == t0.Issuer.String() && c.Subject == row.person.subject.String() &&
			c.ClientID == row.client && c.Audience == row.resource.String()
		request := wire.Request{Scopes: oauth.NewScopes(gmailRead)}
		var account *account
		if row != nil {
			account = row.account
		}
		switch r.IntN(4) {
		case 0: // one of the person's own, by name
			account = pick(r, a.person.accounts)
			request.Account = account.handle
		case 1: // one of anybody's
			account = pick(r, w.rows).account
			request.Account = account.handle
		}
		want = want && account.Tenant == row.tenant.ID && account.Subject == row.person.subject
		if r.IntN(10) == 0 {
			by = pick(r, []caller{{w.other, by.id, by.audience}, {w.rs, "another-rs", by.audience}, {w.rs, by.id, internal + wire.RevocationsPath}})
			want = false
		}
		request.SubjectToken = secret.NewText(w.sign(t, signer.ID, c))
		status, got := w.exchange(t, by, request)
		mu.Lock()
		defer mu.Unlock()
		if want {
			allowed++
			if status != 200 || got["access_token"] != account.token || got["account_email"] != account.email || got["account"] != account.handle {
				t.Errorf("what belongs together is refused or gets another's: %d %v\n%+v", status, got, c)
			}
			return
		}
		code, _ := got["error"].(string)
		refusals[code]++
		if status == 200 || got["access_token"] != nil || (code != "invalid_grant" && code != "invalid_client" && code != "account_selection_required") {
			t.Errorf("what does not belong together: %d %v\n%+v, signed by %s, account %s", status, got, c, signer.Slug, request.Account)
		}
		if accounts, ok := got["accounts"].([]any); ok { // only of the person whom the token names
			for _, one := range accounts {
				if handle, _ := one.(map[string]any)["handle"].(string); handle != row.person.accounts[0].handle && handle != row.person.accounts[1].handle {
					t.Errorf("an account of somebody else's is named: %v", got)
				}
			}
		}
	})
	if n := cases(t); allowed < n/10 || refusals["invalid_grant"] < n/10 || refusals["invalid_client"] < n/50 || refusals["account_selection_required"] < n/50 {
		t.Errorf("the cases are lopsided: %d allowed, refused %v", allowed, refusals)
	}
	t.Logf("%d allowed, refused %v", allowed, refusals)
}

func (w *world) tenantOf(id string) *tenant.Tenant {
	for _, t := range w.tenants {
		if t.ID.String() == id {
			return t
		}
	}
	return nil
}

// TestStoreKeepsRowsApart: the same one level down, where only ids are left: the database gives a grant and accounts to the tenant and person
// that they are of.
func TestStoreKeepsRowsApart(t *testing.T) {
	t.Parallel()
	t.Run("A5 A23 the store gives nobody another's rows", storeKeepsRowsApart)
}

func storeKeepsRowsApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	var mu sync.Mutex
	found, none := 0, 0
	inParallel(t, func(t *testing.T, r *rand.Rand) {
		// Any tenant, person, grant and account; half of the time of one row.
		a := pick(r, w.rows)
		tn, subject, id, account := a.tenant.ID, a.person.subject, a.id, a.account
		if r.IntN(2) == 0 {
			tn = pick(r, w.rows).tenant.ID
		}
		if r.IntN(2) == 0 {
			subject = pick(r, w.rows).person.subject
		}
		if r.IntN(2) == 0 {
			id, account = pick(r, w.rows).id, pick(r, w.rows).account
		}
		var jti [32]byte
		binary.BigEndian.PutUint64(jti[:], r.Uint64())
		got, err := w.db.Exchange(t.Context(), exchange.Lookup{Tenant: tn, Grant: id, Subject: subject, Assertion: &client.AssertionID{ClientID: "rs", Hash: sha256.Sum256(jti[:]), Expires: time.Now().Add(time.Minute)}})
		if err != nil {
			t.Error(err)
			return
		}
		row := w.byID[tn][id]
		if want := row != nil && row.live && row.person.subject == subject; got.GrantLive != want {
			t.Errorf("grant %s of tenant %s for %s: live is %v", id, tn, subject, got.GrantLive)
		}
		var theirs []string
		for _, p := range w.people[tn] {
			if p.subject == subject {
				theirs = append(theirs, p.accounts[0].handle, p.accounts[1].handle)
			}
		}
		var handles []string
		for _, c := range got.Connections {
			handles = append(handles, "acc_"+c.Connection.String())
		}
		if fmt.Sprint(handles) != fmt.Sprint(theirs) {
			t.Errorf("%s of tenant %s has %v, not %v", subject, tn, handles, theirs)
		}
		record, err := w.db.Connection(t.Context(), connection.Ref{Tenant: tn, Subject: subject, Connection: account.Connection})
		mine := account.Tenant == tn && account.Subject == subject
		if mine != (err == nil) || !mine && !errors.Is(err, connection.ErrNotFound) || mine && !strings.HasSuffix(account.handle, record.Connection.String()) {
			t.Errorf("account of tenant %s read by %s of %s: %v", account.Tenant, subject, tn, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if mine && got.GrantLive {
			found++
		} else {
			none++
		}
	})
	if n := cases(t); found < n/20 || none < n/20 {
		t.Errorf("the cases are lopsided: %d found, %d not", found, none)
	}
	t.Logf("%d found, %d not", found, none)
}
