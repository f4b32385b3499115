// Package migrations owns the database schema: numbered SQL files, embedded,
// applied in order by goose under a session lock, so that many processes may
// try at once. It never runs as part of serving: the servers only ask Pending.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the database/sql driver "pgx", which goose needs
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// ErrPending says that the schema is older than the program.
var ErrPending = errors.New("the database schema is behind this program: run `authserver migrate up` first")

// State is one migration and whether it is applied.
type State struct {
	Version   int64
	Applied   bool
	AppliedAt time.Time
}

// Up applies every pending migration.
func Up(ctx context.Context, dsn string) error {
	return with(dsn, func(p *goose.Provider, _ *sql.DB) error {
		_, err := p.Up(ctx)
		return err
	})
}

// Down takes the last migration back. The data of its tables is lost.
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

// Check returns ErrPending if the schema lacks a migration this program knows.
// It only reads, so the servers' runtime role may call it.
func Check(ctx context.Context, dsn string) error {
	return with(dsn, func(p *goose.Provider, db *sql.DB) error {
		var exists bool
		if err := db.QueryRowContext(ctx, `SELECT to_regclass('public.goose_db_version') IS NOT NULL`).Scan(&exists); err != nil {
			return fmt.Errorf("reading the schema's version: %w", err)
		}
		if !exists {
			return ErrPending
		}
		var have int64
		if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&have); err != nil {
			return fmt.Errorf("reading the schema's version: %w", err)
		}
		sources := p.ListSources()
		if have < sources[len(sources)-1].Version {
			return ErrPending
		}
		return nil
	})
}

func with(dsn string, f func(*goose.Provider, *sql.DB) error) (err error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return errors.New("the database URL cannot be parsed") // the driver's text would repeat its password
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("making the migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	return f(p, db)
}
