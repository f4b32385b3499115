package postgres_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/pgcluster"
	"latchkey/migrations"
	"latchkey/pkg/secret"
)

// as is the URL of a database for another login user.
func as(t testing.TB, dsn, user, database string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path = url.User(user), "/"+database
	return u.String()
}

func run(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func ready(t testing.TB, dsn string) error {
	t.Helper()
	db, err := postgres.Open(ctx, postgres.Config{URL: secret.NewText(dsn)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return db.Ready(ctx)
}

// TestMigrations: a plain owner with CREATEROLE migrates a fresh server from nothing; many at once agree; a step down and
// up again works; a schema that is behind or a wrong URL is told in words.
func TestMigrations(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Cluster(t).DSN(pgcluster.Database)
	if pending, err := migrations.Pending(ctx, dsn); err != nil || !pending {
		t.Fatal(pending, err)
	}
	if err := migrations.Check(ctx, dsn); !errors.Is(err, migrations.ErrPending) || !strings.Contains(err.Error(), "authserver migrate up") {
		t.Errorf("a schema that is behind: %v", err)
	}
	for _, err := range parallel(4, func() error { return migrations.Up(ctx, dsn) }) {
		if err != nil {
			t.Fatal(err)
		}
	}
	current := func() {
		t.Helper()
		states, err := migrations.Status(ctx, dsn)
		if err != nil || len(states) == 0 || !states[len(states)-1].Applied || states[len(states)-1].AppliedAt.IsZero() {
			t.Fatal(states, err)
		}
		if err := errors.Join(migrations.Check(ctx, dsn), ready(t, dsn)); err != nil { // Ready acts as both roles
			t.Fatal(err)
		}
	}
	current()
	for range 2 {
		if err := migrations.Down(ctx, dsn); err != nil {
			t.Fatal(err)
		}
		if err := migrations.Check(ctx, dsn); !errors.Is(err, migrations.ErrPending) {
			t.Fatal(err)
		}
		if err := migrations.Up(ctx, dsn); err != nil {
			t.Fatal(err)
		}
		current()
	}
	for _, wrong := range []string{"postgres://u:s3cr3t@[::1", "host=%zz password=s3cr3t port=x"} {
		if err := migrations.Up(ctx, wrong); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("wrong URL: %v", err)
		}
	}
}

// TestRoles: DESIGN §4: the servers' login users need membership and nothing else; a role that passes row-level security
// by serves nobody; an owner without CREATEROLE migrates once an administrator has made the roles.
func TestRoles(t *testing.T) {
	t.Parallel()
	owner := pgtest.Cluster(t).DSN(pgcluster.Database)
	admin := as(t, owner, "postgres", pgcluster.Database)
	run(t, admin, `CREATE ROLE plain LOGIN`, `CREATE DATABASE plain OWNER plain`, `CREATE ROLE server LOGIN`, `CREATE ROLE outsider LOGIN`)
	plain := as(t, owner, "plain", "plain")

	if err := migrations.Up(ctx, plain); err == nil || !strings.Contains(err.Error(), "give it CREATEROLE") {
		t.Errorf("an owner that may not create roles: %v", err)
	}
	run(t, admin, `CREATE ROLE latchkey_runtime NOLOGIN BYPASSRLS`)
	if err := migrations.Up(ctx, owner); err == nil || !strings.Contains(err.Error(), "NOBYPASSRLS") {
		t.Errorf("a runtime role that passes row-level security by: %v", err)
	}
	run(t, admin, `ALTER ROLE latchkey_runtime NOBYPASSRLS`, `CREATE ROLE latchkey_jobs NOLOGIN`)
	if err := migrations.Up(ctx, plain); err != nil { // warns that somebody else must grant the roles
		t.Fatal(err)
	}
	if err := ready(t, plain); err == nil {
		t.Error("served without membership")
	}
	run(t, admin, `GRANT latchkey_runtime, latchkey_jobs TO plain, server`)
	for _, user := range []string{"plain", "server"} {
		dsn := as(t, owner, user, "plain")
		if err := errors.Join(migrations.Check(ctx, dsn), ready(t, dsn)); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		if _, err := open(t, dsn, nil).EnsureConnection(ctx, tenant.DefaultID, "sub-"+user, ""); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	if err := ready(t, as(t, owner, "outsider", "plain")); err == nil {
		t.Error("an outsider is served")
	}
	if _, err := open(t, as(t, owner, "server", "plain"), nil).Sweep(ctx); err != nil {
		t.Errorf("the jobs role does not work: %v", err)
	}
	for _, attribute := range []string{"BYPASSRLS", "SUPERUSER"} {
		run(t, admin, `ALTER ROLE latchkey_runtime `+attribute)
		if err := ready(t, as(t, owner, "server", "plain")); err == nil || !strings.Contains(err.Error(), "not the bound role") {
			t.Errorf("served with %s: %v", attribute, err)
		}
		run(t, admin, `ALTER ROLE latchkey_runtime NO`+attribute)
	}
	if err := ready(t, as(t, owner, "server", "plain")); err != nil {
		t.Error(err)
	}
}

// TestLoginThatPassesBy: the servers' roles are bound, but a login user that is not is told apart.
func TestLoginThatPassesBy(t *testing.T) {
	t.Parallel()
	owner := pgtest.Cluster(t).DSN(pgcluster.Database)
	if err := migrations.Up(ctx, owner); err != nil {
		t.Fatal(err)
	}
	admin := as(t, owner, "postgres", "postgres")
	for user, want := range map[string]bool{"plain": false, "bypasses": true, "superuser": true} {
		options := map[string]string{"plain": "", "bypasses": "BYPASSRLS", "superuser": "SUPERUSER"}[user]
		run(t, admin, "CREATE ROLE "+user+" LOGIN "+options, "GRANT latchkey_runtime, latchkey_jobs TO "+user)
		db, err := postgres.Open(ctx, postgres.Config{URL: secret.NewText(as(t, owner, user, pgcluster.Database))})
		if err != nil {
			t.Fatal(err)
		}
		name, passes, err := db.Login(ctx)
		if err != nil || name != user || passes != want || db.Check(ctx) != nil {
			t.Errorf("%s: %q, passes by %v, %v", user, name, passes, err)
		}
		db.Close()
	}
}
