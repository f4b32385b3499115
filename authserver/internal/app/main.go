package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/migrations"
	"latchkey/pkg/commandline"
)

type cli struct {
	Config kong.ConfigFlag `help:"JSON file with settings; environment and flags win." placeholder:"FILE"`

	Configuration configCmd      `cmd:"" name:"config" help:"Check and show the settings."`
	Serve         serveCmd       `cmd:"" help:"Run the authorization server."`
	Migrate       migrateCmd     `cmd:"" help:"Change or show the database schema."`
	Keys          keysCmd        `cmd:"" help:"Make, list and rotate keys."`
	Clients       clientsCmd     `cmd:"" help:"Enter, list and delete clients."`
	Tenants       tenantsCmd     `cmd:"" help:"Make, change, suspend and erase tenants."`
	Audit         auditCmd       `cmd:"" help:"Verify, export and search the audit trail."`
	Revoke        revokeCmd      `cmd:"" help:"End everybody's access, a tenant's, a person's or a client's."`
	Subjects      subjectsCmd    `cmd:"" help:"Export and erase a person."`
	Doctor        doctorCmd      `cmd:"" help:"Explain step by step why a connection fails."`
	Connections   connectionsCmd `cmd:"" help:"List, show and disconnect people's Google accounts."`
	Grants        grantsCmd      `cmd:"" help:"List, show and revoke what people allowed to apps."`
	Sessions      sessionsCmd    `cmd:"" help:"List and end browser sessions."`
	Jobs          jobsCmd        `cmd:"" help:"Show long work that the admin API has begun."`
	Admins        adminsCmd      `cmd:"" help:"Enter, list and delete administrators of the admin API."`
	Completion    completionCmd  `cmd:"" help:"Print a script with which a shell completes commands and flags."`
	Healthcheck   healthcheckCmd `cmd:"" help:"Exit 0 if the running server is ready."`
	Version       versionCmd     `cmd:"" help:"Print the version."`
}

// env is what a command needs from outside.
type env struct {
	ctx     context.Context
	in      io.Reader
	out     io.Writer
	errOut  io.Writer
	unknown error // keys of --config; serve and config check report them with their own problems
}

// Main runs one command and returns the exit code: 0, or 1 after one clear
// message on errOut.
func Main(ctx context.Context, args []string, out, errOut io.Writer) int {
	var c cli
	var file config.File
	exited := -1
	parser, err := commandLine(&c, &file, kong.Writers(out, errOut), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		return fail(errOut, err)
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		return fail(errOut, err)
	}
	e := &env{ctx: ctx, in: os.Stdin, out: out, errOut: errOut, unknown: file.Unknown(parser.Model)}
	switch parsed.Selected().Target.Addr().Interface().(type) {
	case *serveCmd, *configCheckCmd:
	default:
		if e.unknown != nil {
			return fail(errOut, e.unknown)
		}
	}
	if err := parsed.Run(e); err != nil {
		return fail(errOut, err)
	}
	return 0
}

// commandLine reads flags, environment and file into c.
func commandLine(c *cli, file *config.File, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append(options, kong.Name("authserver"), kong.Description("Latchkey's authorization server."),
		kong.UsageOnError(), kong.Vars{"reportable": joined(tenant.Reportable())}, kong.Configuration(file.Load))...)
}

func fail(w io.Writer, err error) int {
	if postgres.Unreachable(err) { // the driver tells of every address it tried, on lines of their own
		err = fmt.Errorf("the database (DATABASE_URL) does not answer: start it or correct the setting: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
	_, _ = fmt.Fprintf(w, "authserver: %v\n", err)
	return 1
}

func newLog(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // kong admits only the four names
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

type serveCmd struct{ config.Serve }

func (c *serveCmd) Run(e *env) error {
	var p commandline.Problems
	p.Add(e.unknown)
	settings, err := c.Check()
	p.Add(err)
	if err := p.Err(); err != nil {
		return err
	}
	return serve(e.ctx, settings, newLog(c.Log, e.errOut))
}

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Apply every pending migration."`
	Down   migrateDownCmd   `cmd:"" help:"Take the last migration back. This loses the data of its tables."`
	Status migrateStatusCmd `cmd:"" help:"List migrations and whether they are applied."`
}

type migrateUpCmd struct {
	config.Database
	inJSON
}

func (c *migrateUpCmd) Run(e *env) error {
	url, err := c.MigrateURL()
	if err != nil {
		return err
	}
	if err := migrations.Up(e.ctx, url.Reveal()); err != nil {
		return fmt.Errorf("migrating up: %w", err)
	}
	return c.say(e, did{Did: "migrated up"}, "the schema is current")
}

type migrateDownCmd struct {
	config.Database
	inJSON
}

func (c *migrateDownCmd) Run(e *env) error {
	url, err := c.MigrateURL()
	if err != nil {
		return err
	}
	if err := migrations.Down(e.ctx, url.Reveal()); err != nil {
		return fmt.Errorf("migrating down: %w", err)
	}
	return c.say(e, did{Did: "migrated down"}, "one migration taken back")
}

type migrateStatusCmd struct {
	config.Database
	inJSON
}

func (c *migrateStatusCmd) Run(e *env) error {
	url, err := c.MigrateURL()
	if err != nil {
		return err
	}
	list, err := migrations.Status(e.ctx, url.Reveal())
	if err != nil {
		return fmt.Errorf("reading the schema's state: %w", err)
	}
	return c.answer(e, migrationsInfo(list), func(w io.Writer) error {
		for _, m := range list {
			applied := "pending"
			if m.Applied {
				applied = "applied " + m.AppliedAt.UTC().Format(time.RFC3339)
			}
			if _, err := fmt.Fprintf(w, "%04d %s\n", m.Version, applied); err != nil {
				return err
			}
		}
		return nil
	})
}

// migrationInfo is a migration in the list.
type migrationInfo struct {
	Version   int64     `json:"version"`
	Applied   bool      `json:"applied"`
	AppliedAt time.Time `json:"applied_at,omitzero"`
}

func migrationsInfo(list []migrations.State) []migrationInfo {
	out := make([]migrationInfo, len(list))
	for i, m := range list {
		out[i] = migrationInfo{m.Version, m.Applied, m.AppliedAt.UTC()}
	}
	return out
}

type healthcheckCmd struct {
	AdminListen string `name:"as-admin-listen" env:"AS_ADMIN_LISTEN" default:"127.0.0.1:8082" help:"Address of the running server's health checks."`
}

func (c *healthcheckCmd) Run(e *env) error {
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.AdminListen+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New("the server is not ready")
	}
	return nil
}

type versionCmd struct{ inJSON }

func (c versionCmd) Run(e *env) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("built without build information")
	}
	revision := "unknown"
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return c.say(e, struct {
		Version  string `json:"version"`
		Revision string `json:"revision"`
		Go       string `json:"go"`
	}{info.Main.Version, revision, info.GoVersion}, "authserver %s revision %s %s", info.Main.Version, revision, info.GoVersion)
}
