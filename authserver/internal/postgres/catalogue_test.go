package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
)

// tenantTable is a table with a tenant, as the catalogue has it.
type tenantTable struct {
	name    string
	tenant  string // its column
	columns []tenantColumn
}

type tenantColumn struct{ name, kind string }

// tenantTables reads every table with a tenant from the catalogue.
func tenantTables(t *testing.T, conn *pgx.Conn) []tenantTable {
	t.Helper()
	rows, err := conn.Query(ctx, `SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
		  AND (c.relname = 'tenants' OR EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped))
		ORDER BY 1, a.attnum`)
	if err != nil {
		t.Fatal(err)
	}
	var out []tenantTable
	var table, column, kind string
	if _, err := pgx.ForEachRow(rows, []any{&table, &column, &kind}, func() error {
		if len(out) == 0 || out[len(out)-1].name != table {
			out = append(out, tenantTable{name: table, tenant: map[bool]string{true: "id", false: "tenant_id"}[table == "tenants"]})
		}
		last := &out[len(out)-1]
		last.columns = append(last.columns, tenantColumn{column, kind})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// sample is a value of a type.
func sample(t *testing.T, kind string, n int) string {
	t.Helper()
	switch {
	case strings.HasSuffix(kind, "[]"):
		return `'{}'`
	case kind == "uuid":
		return `'` + uuid.NewString() + `'`
	case kind == "text", strings.HasPrefix(kind, "character"):
		return fmt.Sprintf(`'v%d'`, n)
	case kind == "bytea":
		return fmt.Sprintf(`decode('%08x', 'hex')`, n)
	case strings.HasPrefix(kind, "timestamp"), kind == "date":
		return `now()`
	case kind == "boolean":
		return `false`
	case kind == "integer", kind == "bigint", kind == "smallint", kind == "numeric", kind == "double precision", kind == "real":
		return fmt.Sprint(n)
	case kind == "interval":
		return `'1s'`
	case kind == "jsonb", kind == "json":
		return `'{}'`
	case kind == "inet", kind == "cidr":
		return `'127.0.0.1'`
	}
	t.Fatalf("no sample of type %s: add one", kind)
	return ""
}

// insert is a statement that adds a row of a tenant.
func (x tenantTable) insert(t *testing.T, tenant uuid.UUID, n int) string {
	t.Helper()
	var names, values []string
	for _, c := range x.columns {
		names = append(names, pgx.Identifier{c.name}.Sanitize())
		if c.name == x.tenant {
			values = append(values, `'`+tenant.String()+`'`)
		} else {
			values = append(values, sample(t, c.kind, n))
		}
	}
	return `INSERT INTO ` + pgx.Identifier{x.name}.Sanitize() + ` (` + strings.Join(names, ", ") + `) OVERRIDING SYSTEM VALUE VALUES (` + strings.Join(values, ", ") + `)`
}

// probed tries everything on every tenant table as the runtime role, with every
// privilege there is, so that row-level security alone decides. It returns what
// it could do.
func probed(t *testing.T, dsn string) (leaks []string, tables int) {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	must := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	all := tenantTables(t, conn)
	mine, theirs := uuid.New(), uuid.New()
	// Checks and references would refuse the samples before security does, and are
	// not what is tested.
	must(`DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE contype IN ('f', 'c') AND connamespace = 'public'::regnamespace ORDER BY contype DESC LOOP
			EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', c.t, c.conname);
		END LOOP; END $$`)
	for i, x := range all {
		name := pgx.Identifier{x.name}.Sanitize()
		var forced bool
		if err := conn.QueryRow(ctx, `SELECT relforcerowsecurity FROM pg_class WHERE oid = $1::regclass`, x.name).Scan(&forced); err != nil {
			t.Fatal(err)
		}
		must(`ALTER TABLE ` + name + ` NO FORCE ROW LEVEL SECURITY`)
		must(x.insert(t, theirs, 2*i+1))
		if forced {
			must(`ALTER TABLE ` + name + ` FORCE ROW LEVEL SECURITY`)
		}
		must(`GRANT SELECT, INSERT, UPDATE, DELETE ON ` + name + ` TO latchkey_runtime`)
	}
	must(`SET ROLE latchkey_runtime`)
	for _, as := range []struct{ name, id string }{{"no tenant", ""}, {"another tenant", mine.String()}} {
		must(`SELECT set_config('app.tenant_id', '` + as.id + `', false)`)
		for i, x := range all {
			name, column := pgx.Identifier{x.name}.Sanitize(), pgx.Identifier{x.tenant}.Sanitize()
			leak := func(what string) { leaks = append(leaks, x.name+": "+what+" as "+as.name) }
			// try runs a statement and undoes it. A refusal is an error of security, or
			// no row.
			try := func(what, sql string, refusedBySecurity bool) {
				tx, err := conn.Begin(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback(ctx) }()
				tag, err := tx.Exec(ctx, sql)
				var e *pgconn.PgError
				switch {
				case err == nil && tag.RowsAffected() == 0 && !refusedBySecurity:
				case errors.As(err, &e) && e.Code == "42501":
				case err != nil && !errors.As(err, &e):
					t.Fatal(err)
				default:
					leak(fmt.Sprintf("%s (%d rows, %v)", what, tag.RowsAffected(), err))
				}
			}
			try("select", `SELECT FROM `+name, false)
			try("select by id", `SELECT FROM `+name+` WHERE `+column+` = '`+theirs.String()+`'`, false)
			try("insert", x.insert(t, theirs, 1000+i), true)
			try("update", `UPDATE `+name+` SET `+column+` = `+column, false)
			try("move here", `UPDATE `+name+` SET `+column+` = '`+mine.String()+`' WHERE `+column+` = '`+theirs.String()+`'`, false)
			try("delete", `DELETE FROM `+name, false)
			// The row that is there and one that is not are refused alike: no oracle.
			try("upsert", x.insert(t, theirs, 2*i+1)+` ON CONFLICT DO NOTHING`, true)
			try("upsert that updates", x.insert(t, theirs, 2*i+1)+fmt.Sprintf(` ON CONFLICT (%s) DO UPDATE SET %s = excluded.%s`, primaryKey(t, conn, x), column, column), true)
			if as.id == "" {
				continue
			}
			// Its own row works, and goes nowhere else.
			tx, err := conn.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, x.insert(t, mine, 2000+i)); err != nil {
				t.Errorf("%s: a tenant's own row: %v", x.name, err)
			}
			var e *pgconn.PgError
			if tag, err := tx.Exec(ctx, `UPDATE `+name+` SET `+column+` = '`+theirs.String()+`'`); !errors.As(err, &e) || e.Code != "42501" {
				leak(fmt.Sprintf("move away (%d rows, %v)", tag.RowsAffected(), err))
			}
			_ = tx.Rollback(ctx)
		}
	}
	return leaks, len(all)
}

// primaryKey is the columns of a table's primary key; a planted table has its
// tenant alone.
func primaryKey(t *testing.T, conn *pgx.Conn, x tenantTable) string {
	t.Helper()
	var columns string
	if err := conn.QueryRow(ctx, `SELECT coalesce(string_agg(quote_ident(a.attname), ', '), $2) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
		WHERE i.indrelid = $1::regclass AND i.indisprimary`, x.name, x.tenant).Scan(&columns); err != nil {
		t.Fatal(err)
	}
	return columns
}

// TestEveryTenantTableIsApart: DESIGN §1.3, PEERS A5: every table with a tenant in the catalogue x select, insert, update,
// delete, move, upsert x no tenant, another tenant: nothing is seen, changed or found out.
func TestEveryTenantTableIsApart(t *testing.T) {
	t.Parallel()
	leaks, tables := probed(t, pgtest.Clone(t))
	if len(leaks) != 0 {
		t.Errorf("reached another tenant's rows:\n%s", strings.Join(leaks, "\n"))
	}
	if tables < 16 {
		t.Errorf("only %d tables: the catalogue was not read", tables)
	}
}

// TestPlantedTableIsFound: the test above fails for a table without a policy, and for one whose policy lets everything
// through, in every way it tries.
func TestPlantedTableIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql  string
		want int // leaks of 8 tries x 2 tenants, and of moving away
	}{
		"no row-level security": {``, 17},
		"a policy that lets through": {`ALTER TABLE planted ENABLE ROW LEVEL SECURITY; ALTER TABLE planted FORCE ROW LEVEL SECURITY;
			CREATE POLICY tenant ON planted TO latchkey_runtime USING (true) WITH CHECK (true)`, 17},
		"a policy that only reads as it should": {`ALTER TABLE planted ENABLE ROW LEVEL SECURITY; ALTER TABLE planted FORCE ROW LEVEL SECURITY;
			CREATE POLICY tenant ON planted TO latchkey_runtime USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (true)`, 5},
	} {
		dsn := pgtest.Clone(t)
		run(t, dsn, `CREATE TABLE planted (tenant_id uuid PRIMARY KEY, v text)`, c.sql)
		leaks, _ := probed(t, dsn)
		if len(leaks) != c.want || slices.ContainsFunc(leaks, func(l string) bool { return !strings.HasPrefix(l, "planted: ") }) {
			t.Errorf("%s: %d leaks found\n%s", name, len(leaks), strings.Join(leaks, "\n"))
		}
	}
}

// TestReferencesStayInTheTenant: a reference between two tables with a tenant has the tenant in it, so that no row can
// point to another tenant's, and asking whether one is there is refused before it is looked for.
func TestReferencesStayInTheTenant(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	bad := func() []string {
		t.Helper()
		rows, err := conn.Query(ctx, `SELECT c.conrelid::regclass::text || ' -> ' || c.confrelid::regclass::text FROM pg_constraint c
			WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace
			  AND (c.confrelid = 'tenants'::regclass OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.confrelid AND attname = 'tenant_id'))
			  AND NOT EXISTS (SELECT FROM unnest(c.conkey, c.confkey) AS k (here, there)
				JOIN pg_attribute h ON h.attrelid = c.conrelid AND h.attnum = k.here JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = k.there
				WHERE h.attname = 'tenant_id' AND f.attname = CASE WHEN c.confrelid = 'tenants'::regclass THEN 'id' ELSE 'tenant_id' END)`)
		if err != nil {
			t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if found := bad(); len(found) != 0 {
		t.Errorf("references that leave the tenant: %v", found)
	}
	run(t, dsn, `CREATE TABLE planted (tenant_id uuid, subject uuid, other uuid, UNIQUE (other))`, `ALTER TABLE subjects ADD COLUMN other uuid UNIQUE`,
		`ALTER TABLE planted ADD FOREIGN KEY (subject) REFERENCES subjects (other)`)
	if found := bad(); !slices.Equal(found, []string{"planted -> subjects"}) {
		t.Errorf("the planted reference was not found: %v", found)
	}
	// A subject that is there and one that is not: the same refusal.
	f := setUp(t, nil)
	f.grant(t)
	other, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(ctx) }()
	for _, sql := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '` + uuid.NewString() + `', false)`} {
		if _, err := other.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []uuid.UUID{f.record.Subject, uuid.New()} {
		_, err := other.Exec(ctx, `INSERT INTO consents (tenant_id, subject_id, client_id, resource, scopes, snapshot) VALUES ('00000000-0000-7000-8000-000000000001', $1, 'c', 'r', '{}', '{}')`, subject)
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != "42501" {
			t.Errorf("%v", err)
		}
	}
}

// TestErasureKnowsEveryTable: a table with a tenant that is not in the list of an erasure would outlive the tenant.
func TestErasureKnowsEveryTable(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(ctx, pgtest.Clone(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var have []string
	for _, x := range tenantTables(t, conn) {
		if x.name != "tenants" && !strings.HasPrefix(x.name, "audit_") { // nobody deletes from the audit trail: decision 0010
			have = append(have, x.name)
		}
	}
	want := slices.Clone(postgres.Erased)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the catalogue has %v, the erasure %v", have, want)
	}
}
