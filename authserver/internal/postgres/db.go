package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/secret"
)

// The roles of the first migration.
const (
	runtimeRole = "latchkey_runtime"
	jobsRole    = "latchkey_jobs"
)

// Config configures a DB. URL is required. What it says of connect_timeout,
// statement_timeout, lock_timeout and idle_in_transaction_session_timeout goes
// before the servers' own bounds, which are for a database that others wait for.
type Config struct {
	URL      secret.Text
	MaxConns int32           // of the runtime pool; default 16
	Tracer   pgx.QueryTracer // counts statements in tests
}

// DB is the database. Its runtime pool sees one tenant at a time, its jobs pool
// does cross-tenant work. Rate limits have a pool of their own: a flood never
// takes a connection from those who are served. Safe for concurrent use.
type DB struct {
	runtime *pgxpool.Pool
	jobs    *pgxpool.Pool
	limits  *pgxpool.Pool // the jobs role
	long    chan struct{} // one for each long work of the jobs role
}

// jobsConns is how many connections the jobs role has. Resource servers read their
// feed of revocations over them, so work that may take long never has the last one.
const jobsConns = 2

// longWait is how long such work waits for other such work.
const longWait = 10 * time.Second

var errBusy = errors.New("other long work is under way: try again when it is done")

// longJob runs f in a transaction of the jobs role that may take long.
func (db *DB) longJob(ctx context.Context, f func(pgx.Tx) error) error {
	wait := time.NewTimer(longWait)
	defer wait.Stop()
	select {
	case db.long <- struct{}{}:
	case <-wait.C:
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-db.long }()
	return pgx.BeginFunc(ctx, db.jobs, f)
}

// Open makes the pools. It connects lazily: a database that is away at start
// is found by Ready.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.MaxConns == 0 {
		c.MaxConns = 16
	}
	runtime, err := pool(ctx, c, runtimeRole, c.MaxConns)
	if err != nil {
		return nil, err
	}
	jobs, err := pool(ctx, c, jobsRole, jobsConns)
	if err != nil {
		runtime.Close()
		return nil, err
	}
	limits, err := pool(ctx, c, jobsRole, 2)
	if err != nil {
		runtime.Close()
		jobs.Close()
		return nil, err
	}
	return &DB{runtime: runtime, jobs: jobs, limits: limits, long: make(chan struct{}, jobsConns-1)}, nil
}

// Unreachable reports whether err is that of a database which gives no connection.
func Unreachable(err error) bool {
	var e *pgconn.ConnectError
	return errors.As(err, &e)
}

// CheckURL reports whether Open can read a URL. It connects to nothing.
func CheckURL(url secret.Text) error {
	_, err := parse(url)
	return err
}

func parse(url secret.Text) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url.Reveal())
	if err != nil {
		return nil, errors.New("DATABASE_URL cannot be parsed: give a URL such as postgres://user@host/database") // pgx's text may repeat parts of it
	}
	return config, nil
}

func pool(ctx context.Context, c Config, role string, size int32) (*pgxpool.Pool, error) {
	config, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinIdleConns = size, 1
	config.MaxConnLifetime, config.MaxConnLifetimeJitter = 30*time.Minute, 5*time.Minute
	config.PingTimeout = 2 * time.Second
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 3 * time.Second
	}
	config.ConnConfig.Tracer = c.Tracer
	params := config.ConnConfig.RuntimeParams
	params["role"], params["application_name"] = role, "latchkey-authserver"
	for name, value := range map[string]string{"statement_timeout": "5s", "lock_timeout": "4s", "idle_in_transaction_session_timeout": "10s"} {
		if _, given := params[name]; !given {
			params[name] = value
		}
	}
	// Row-level security is only as good as the role: never serve with one that
	// passes it by (DESIGN §1.3).
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		var name string
		var bypass bool
		if err := conn.QueryRow(ctx, `SELECT rolname::text, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user`).Scan(&name, &bypass); err != nil {
			return fmt.Errorf("checking the database role: %w", err)
		}
		if name != role || bypass {
			return fmt.Errorf("connected as role %s, which is not the bound role %s", name, role)
		}
		return nil
	}
	p, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	return p, nil
}

// Close waits for running statements and closes every connection.
func (db *DB) Close() {
	db.runtime.Close()
	db.jobs.Close()
	db.limits.Close()
}

// Ready reports whether the database answers.
func (db *DB) Ready(ctx context.Context) error {
	if err := db.runtime.Ping(ctx); err != nil {
		return fmt.Errorf("pinging the database: %w", err)
	}
	return nil
}

// Check reports whether the database answers in each of the servers' roles.
func (db *DB) Check(ctx context.Context) error {
	for _, p := range []*pgxpool.Pool{db.runtime, db.jobs} {
		if err := p.Ping(ctx); err != nil {
			return fmt.Errorf("connecting to the database: %w", err)
		}
	}
	return nil
}

// Login returns the login user of the connections, and whether it passes row-level
// security by: it acts in the servers' roles, but who takes over a connection
// could leave them by RESET ROLE. One user for everything is for development.
func (db *DB) Login(ctx context.Context) (user string, passes bool, err error) {
	err = db.runtime.QueryRow(ctx, `SELECT rolname::text, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user`).Scan(&user, &passes)
	if err != nil {
		return "", false, fmt.Errorf("checking the login user: %w", err)
	}
	return user, passes, nil
}

// statement is one SQL statement of a batch.
type statement struct {
	sql  string
	args []any
}

func stmt(sql string, args ...any) statement { return statement{sql, args} }

const setTenant = `SELECT set_config('app.tenant_id', $1, true)`

// row runs one statement for a tenant and scans its row: one round trip, one
// implicit transaction. It returns pgx.ErrNoRows when there is none.
func (db *DB) row(ctx context.Context, t tenant.ID, s statement, into ...any) error {
	return db.batch(ctx, t, func(r pgx.BatchResults) error { return r.QueryRow().Scan(into...) }, s)
}

// exec runs statements for a tenant in one implicit transaction and one round
// trip. It returns the rows that the last one affected.
func (db *DB) exec(ctx context.Context, t tenant.ID, statements ...statement) (int64, error) {
	var affected int64
	err := db.batch(ctx, t, func(r pgx.BatchResults) error {
		for range statements {
			tag, err := r.Exec()
			if err != nil {
				return err
			}
			affected = tag.RowsAffected()
		}
		return nil
	}, statements...)
	return affected, err
}

// batch sends the tenant setting and the statements together. All of them are
// one implicit transaction: when one fails, none has happened.
func (db *DB) batch(ctx context.Context, t tenant.ID, read func(pgx.BatchResults) error, statements ...statement) error {
	if t.IsZero() {
		return errors.New("no tenant given")
	}
	b := &pgx.Batch{}
	b.Queue(setTenant, t.String())
	for _, s := range statements {
		b.Queue(s.sql, s.args...)
	}
	results := db.runtime.SendBatch(ctx, b)
	if _, err := results.Exec(); err != nil {
		_ = results.Close()
		return err
	}
	if err := read(results); err != nil {
		_ = results.Close()
		return err
	}
	return results.Close()
}
