// Package migrations owns the database schema: numbered SQL files, embedded,
// applied in order by goose under a session lock, so that many processes may
// try at once. It never runs as part of serving: the servers only Check.
//
// The migrating user owns the schema. It is no superuser; it needs the right
// to create tables, and CREATEROLE unless the roles of the first migration
// exist already.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// ErrPending says that the schema is older than the program.
var ErrPending = errors.New("the database schema is behind this program: run `authserver migrate up` first")

const (
	connectTimeout = 5 * time.Second
	lockTries      = 120 // one second apart: another process is migrating
)

// State is one migration and whether it is applied.
type State struct {
	Version   int64
	Applied   bool
	AppliedAt time.Time
}

// Up applies every pending migration. It waits up to two minutes for another
// process that migrates the same database.
func Up(ctx context.Context, dsn string) error {
	return with(dsn, func(p *goose.Provider, _ *sql.DB) error {
		_, err := p.Up(ctx)
		return err
	})
}

// Down takes the last migration back, one step. The data of its tables is lost.
func Down(ctx context.Context, dsn string) error {
	return with(dsn, func(p *goose.Provider, _ *sql.DB) error {
		_, err := p.Down(ctx)
		return err
	})
}

// Status lists every migration in order.
func Status(ctx context.Context, dsn string) ([]State, error) {
	var out []State
	err := with(dsn, func(p *goose.Provider, _ *sql.DB) error {
		list, err := p.Status(ctx)
		for _, s := range list {
			out = append(out, State{Version: s.Source.Version, Applied: s.State == goose.StateApplied, AppliedAt: s.AppliedAt})
		}
		return err
	})
	return out, err
}

// Check returns ErrPending if Pending says so.
func Check(ctx context.Context, dsn string) error {
	pending, err := Pending(ctx, dsn)
	if err == nil && pending {
		err = ErrPending
	}
	return err
}

// Pending reports whether the schema lacks a migration that this program
// knows. A schema that is ahead is no fault: while replicas are replaced one
// by one, the older ones go on. It only reads, so the servers' login user may
// call it.
func Pending(ctx context.Context, dsn string) (pending bool, err error) {
	err = with(dsn, func(p *goose.Provider, db *sql.DB) error {
		var exists bool
		if err := db.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&exists); err != nil {
			return fmt.Errorf("reading the schema's version: %w", err)
		}
		if !exists {
			pending = true
			return nil
		}
		var have int64
		if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&have); err != nil {
			return fmt.Errorf("reading the schema's version: %w", err)
		}
		sources := p.ListSources()
		pending = have < sources[len(sources)-1].Version
		return nil
	})
	return pending, err
}

func with(dsn string, f func(*goose.Provider, *sql.DB) error) (err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return errors.New("the database URL cannot be parsed: give one such as postgres://user@host/database") // the driver's text may repeat its password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.RuntimeParams["application_name"] = "latchkey-migrate"
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Ping(); err != nil {
		// The driver tells of every address it tried, on lines of their own.
		return fmt.Errorf("the database does not answer: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, lockTries))
	if err != nil {
		return fmt.Errorf("making the migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	return f(p, db)
}
