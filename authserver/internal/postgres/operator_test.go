package postgres_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/registration"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// TestOperatorActs: each act of an operator finds and changes its own tenant's rows only, is recorded exactly when it changed
// something, with the administrator as actor, and a second time is no act.
func TestOperatorActs(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	live := f.grant(t)
	if _, err := f.db.RedeemCode(ctx, live); err != nil {
		t.Fatal(err)
	}
	first, second := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	for i, id := range []uuid.UUID{first, second} {
		if err := f.db.BeginSession(ctx, tenant.DefaultID, session.New{SecretHash: sha256.Sum256([]byte{byte(i)}), ID: id, Subject: f.record.Subject, Most: 20}); err != nil {
			t.Fatal(err)
		}
	}
	document := &registration.Document{URL: "https://c.example/client.json", Body: []byte("{}"), Fetched: time.Now(), FreshUntil: time.Now().Add(time.Hour)}
	if err := f.db.KeepDocument(ctx, tenant.DefaultID, document); err != nil {
		t.Fatal(err)
	}
	as := audit.WithRequest(ctx, audit.Request{ID: "r", Actor: audit.Administrator("adm_1")})
	id := f.record.Connection
	var ended int64
	other := pgtest.Tenant(t, f.dsn)
	for _, row := range []struct {
		name   string
		act    func(tn tenant.ID) error
		second error
		want   []string
	}{
		{"mark", func(tn tenant.ID) error { return f.db.RequireReauth(as, tn, id) }, nil, []string{"connection.needs_reauth by operator:adm_1 ok operator_request"}},
		{"a session", func(tn tenant.ID) error { return f.db.OperatorEndSession(as, tn, first) }, nil, []string{"admin.act by operator:adm_1 ok session ended " + first.String()}},
		{"every session", func(tn tenant.ID) error {
			n, err := f.db.OperatorEndSessions(as, tn, f.record.Subject)
			if ended = n; err == nil && n == 0 {
				return operator.ErrNotFound
			}
			return err
		}, operator.ErrNotFound, []string{"admin.act by operator:adm_1 ok session ended " + second.String()}},
		{"a grant", func(tn tenant.ID) error { return f.db.EndGrant(as, tn, live.ID) }, nil, []string{"grant.revoked by operator:adm_1 ok operator_request"}},
		{"a document", func(tn tenant.ID) error { return f.db.DeleteClient(as, tn, document.URL) }, client.ErrNotFound, []string{"client.deleted by operator:adm_1 ok"}},
	} {
		before := f.dump(t, tenant.DefaultID) + f.trail(t, tenant.DefaultID)
		if err := row.act(other); !errors.Is(err, operator.ErrNotFound) && !errors.Is(err, client.ErrNotFound) {
			t.Errorf("%s at another tenant: %v", row.name, err)
		}
		if f.dump(t, tenant.DefaultID)+f.trail(t, tenant.DefaultID) != before {
			t.Errorf("%s at another tenant changed this one", row.name)
		}
		if got := f.happened(t, func() error { return row.act(tenant.DefaultID) }, nil); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q", row.name, got)
		}
		want := []string(nil)
		if row.name == "mark" { // marking anew is an act: it ends what was repaired meanwhile
			want = row.want
		}
		if got := f.happened(t, func() error { return row.act(tenant.DefaultID) }, row.second); !slices.Equal(got, want) {
			t.Errorf("%s a second time: %q", row.name, got)
		}
	}
	if ended != 0 {
		t.Errorf("%d sessions ended twice", ended)
	}
	// Reads.
	for _, tn := range []tenant.ID{tenant.DefaultID, other} {
		connections, err1 := f.db.OperatorConnections(ctx, tn, operator.ConnectionFilter{}, uuid.Nil, 10)
		grants, err2 := f.db.OperatorGrants(ctx, tn, operator.GrantFilter{}, uuid.Nil, 10)
		sessions, err3 := f.db.OperatorSessions(ctx, tn, operator.SessionFilter{}, uuid.Nil, 10)
		clients, err4 := f.db.OperatorClients(ctx, tn, "", "", 10)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		want := "1 1 2 0"
		if tn == other {
			want = "0 0 0 0"
		}
		if got := fmt.Sprint(len(connections), len(grants), len(sessions), len(clients)); got != want {
			t.Errorf("%s, not %s", got, want)
		}
		_, err1 = f.db.OperatorConnection(ctx, tn, id)
		_, err2 = f.db.OperatorGrant(ctx, tn, live.ID)
		if missing := errors.Is(err1, operator.ErrNotFound) && errors.Is(err2, operator.ErrNotFound); missing != (tn == other) {
			t.Error(err1, err2)
		}
	}
}

// TestGrantStatus: what a list says of a grant is what the token endpoint would do.
func TestGrantStatus(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	for want, change := range map[operator.GrantStatus]string{
		operator.GrantPending: `redeemed_at = NULL`,
		operator.GrantLive:    `redeemed_at = now()`,
		operator.GrantRevoked: `redeemed_at = now(), revoked_at = now()`,
	} {
		g := f.grant(t)
		f.exec(t, `UPDATE grants SET `+change+` WHERE id = $1`, g.ID)
		if got, err := f.db.OperatorGrant(ctx, tenant.DefaultID, g.ID); err != nil || got.Status != want {
			t.Errorf("%s: %+v %v", change, got, err)
		}
	}
	for _, change := range []string{`code_expires_at = now()`, `redeemed_at = now(), expires_at = now()`, `redeemed_at = now(), idle_expires_at = now()`, `redeemed_at = now() - interval '25 hours', offline = false`} {
		g := f.grant(t)
		f.exec(t, `UPDATE grants SET `+change+` WHERE id = $1`, g.ID)
		if got, err := f.db.OperatorGrant(ctx, tenant.DefaultID, g.ID); err != nil || got.Status != operator.GrantExpired {
			t.Errorf("%s: %+v %v", change, got, err)
		}
	}
	for _, s := range operator.GrantStatuses() {
		list, err := f.db.OperatorGrants(ctx, tenant.DefaultID, operator.GrantFilter{Status: s, Client: "c1", Subject: f.record.Subject}, uuid.Nil, 10)
		if want := map[bool]int{true: 4, false: 1}[s == operator.GrantExpired]; err != nil || len(list) != want {
			t.Errorf("%s: %d %v", s, len(list), err)
		}
	}
	// From an epoch on, before any row is marked.
	for _, change := range []string{`redeemed_at = NULL`, `redeemed_at = now()`} {
		g := f.grant(t)
		f.exec(t, `UPDATE grants SET `+change+` WHERE id = $1`, g.ID)
		if _, _, err := f.db.BeginRevocation(ctx, uuid.Must(uuid.NewV7()), revocation.Selector{Tenant: tenant.DefaultID, Client: g.ClientID, Google: change != `redeemed_at = NULL`}); err != nil {
			t.Fatal(err)
		}
		if got, err := f.db.OperatorGrant(ctx, tenant.DefaultID, g.ID); err != nil || got.Status != operator.GrantRevoked {
			t.Errorf("%s, under an epoch: %+v %v", change, got, err)
		}
	}
}

// TestAdministratorRows: DESIGN §1.3: the runtime role reads no administrator but the id of its own tenant's, and makes and
// changes none; the database keeps those of tenants from being the deployment's.
func TestAdministratorRows(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	of := pgtest.Tenant(t, f.dsn)
	made, _, err := admin.NewAdministrator("n", of, oauth.NewScopes(admin.AuditRead), nil)
	if err == nil {
		err = f.db.CreateAdministrator(ctx, made)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.db.Administrator(ctx, made.ID); err != nil || got.Tenant != of || got.Everywhere || !got.Scopes.Equal(made.Scopes) || string(got.SecretHash) != string(made.SecretHash) {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := f.db.Administrator(ctx, "adm_nobody"); !errors.Is(err, admin.ErrNoAdministrator) {
		t.Error(err)
	}
	widened := *made
	widened.ID, widened.Everywhere = "adm_wide", true
	if err := f.db.CreateAdministrator(ctx, &widened); err == nil {
		t.Error("a tenant's administrator is the deployment's")
	}
	conn := f.as(t, "latchkey_runtime", of)
	for _, sql := range []string{
		`SELECT secret_hash FROM admin_clients`, `SELECT everywhere FROM admin_clients`, `UPDATE admin_clients SET everywhere = true`, `UPDATE admin_clients SET scopes = '{}'`,
		`UPDATE admin_clients SET secret_hash = sha256('x')`, `DELETE FROM admin_clients`,
		`INSERT INTO admin_clients (tenant_id, id, everywhere, name, scopes, secret_hash) VALUES ('` + of.String() + `', 'adm_2', false, 'n', '{x}', sha256('x'))`,
	} {
		if _, err := conn.Exec(ctx, sql); err == nil {
			t.Errorf("the runtime role may: %s", sql)
		}
	}
	if _, err := f.as(t, "latchkey_jobs", tenant.DefaultID).Exec(ctx, `UPDATE admin_clients SET everywhere = true`); err == nil {
		t.Error("the jobs role changes administrators")
	}
	// It goes with its tenant.
	run(t, f.dsn, `SET ROLE latchkey_jobs`, `UPDATE tenants SET status = 'suspended' WHERE id = '`+of.String()+`'`)
	if _, err := f.db.EraseTenant(ctx, of); err != nil {
		t.Fatal(err)
	}
	if _, err := f.db.Administrator(ctx, made.ID); !errors.Is(err, admin.ErrNoAdministrator) {
		t.Error(err)
	}
}

// as is a connection that acts as a role for a tenant.
func (f *fixture) as(t testing.TB, role string, tn tenant.ID) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	for _, sql := range []string{`SET ROLE ` + role, `SELECT set_config('app.tenant_id', '` + tn.String() + `', false)`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}
