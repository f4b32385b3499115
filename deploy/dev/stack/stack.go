package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/deploy/dev/pgcluster"
)

// ClientID is the system's OAuth client at the stand-in for Google.
const ClientID = "dev-client"

const (
	readyTimeout = 2 * time.Minute // the authorization server itself gives a database 30 s, and a busy machine takes its time
	clientSecret = "dev-client-secret-of-the-stand-in"
)

// Config configures a stack. Bin, Data and Run are required.
type Config struct {
	Bin  string   // directory of the two servers' binaries
	Data string   // directory of database and keys; made if absent, kept
	Run  string   // directory of the logs; made if absent
	Env  []string // settings and environment of the servers, as os.Environ gives them

	Ephemeral bool // for tests: the database is fast, not durable, and deleted at the end
	NoInstall bool // never install PostgreSQL
	Log       func(msg string)
}

// Stack is a running Latchkey. Fields of parts that the settings replaced are
// nil.
type Stack struct {
	MCPURL, Issuer, AdminURL, InternalURL, DatabaseURL, GoogleURL string

	Google *fakegoogle.Server
	AS, RS *Process

	config   Config
	env      environment
	cluster  *pgcluster.Cluster
	database pgcluster.Config
	google   *http.Server
}

// Start starts everything and waits until it is ready. On an error nothing of
// it runs any more. The error is a sentence that says what to do.
func Start(ctx context.Context, c Config) (*Stack, error) {
	if c.Log == nil {
		c.Log = func(string) {}
	}
	s := &Stack{config: c, env: parseEnvironment(c.Env)}
	if err := s.env.complete(); err != nil {
		return nil, err
	}
	if err := s.env.free(s.listeners()...); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{s.directories, s.startDatabase, s.startGoogle, s.keys, s.migrate, s.startServers} {
		if err := step(ctx); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Stack) listeners() []string {
	names := []string{"AS_LISTEN", "AS_INTERNAL_LISTEN", "AS_ADMIN_LISTEN", "RS_LISTEN"}
	if s.standIn() {
		names = append(names, "FAKEGOOGLE_LISTEN")
	}
	return names
}

// standIn reports whether Google is played by us.
func (s *Stack) standIn() bool { return !s.env.has("GOOGLE_CLIENT_ID") }

func (s *Stack) log(name string) string { return filepath.Join(s.config.Run, name+".log") }

func (s *Stack) directories(context.Context) error {
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{s.config.Data, 0o755}, {s.keyDir(), 0o700}, {s.config.Run, 0o755}} {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return fmt.Errorf("making a directory: %w", err)
		}
	}
	for _, name := range []string{"as", "rs"} { // a log is about one run
		if err := os.WriteFile(s.log(name), nil, 0o600); err != nil {
			return fmt.Errorf("starting a log: %w", err)
		}
	}
	return nil
}

func (s *Stack) startDatabase(ctx context.Context) error {
	if s.env.has("DATABASE_URL", "DATABASE_URL_FILE") {
		s.DatabaseURL = s.env["DATABASE_URL"]
		return nil
	}
	s.database = pgcluster.Config{
		Dir: filepath.Join(s.config.Data, "dev-pg"), BinDir: s.env["PG_BIN"], Ephemeral: s.config.Ephemeral, NoInstall: s.config.NoInstall, Log: s.config.Log,
	}
	if err := s.StartDatabase(ctx); err != nil {
		return err
	}
	s.DatabaseURL = s.cluster.DSN(pgcluster.Database)
	s.env["DATABASE_URL"] = s.DatabaseURL
	return nil
}

// StartDatabase starts our own database again after EndDatabase.
func (s *Stack) StartDatabase(ctx context.Context) (err error) {
	s.cluster, err = pgcluster.Start(ctx, s.database)
	return err
}

// EndDatabase ends our own database server by a signal, SIGKILL for a crash or
// SIGINT for an orderly stop, and waits. Not for an ephemeral one, whose data
// would be gone.
func (s *Stack) EndDatabase(sig syscall.Signal) error {
	if s.config.Ephemeral {
		return errors.New("an ephemeral database does not come back")
	}
	if err := syscall.Kill(s.cluster.PID(), sig); err != nil {
		return fmt.Errorf("ending the database: %w", err)
	}
	<-s.cluster.Done()
	return s.cluster.Close()
}

// DatabaseDir is the directory of our own database.
func (s *Stack) DatabaseDir() string { return s.database.Dir }

// DatabaseDone is closed when our own database server has ended.
func (s *Stack) DatabaseDone() <-chan struct{} {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.Done()
}

func (s *Stack) startGoogle(context.Context) error {
	if !s.standIn() {
		return nil
	}
	l, err := net.Listen("tcp", s.env["FAKEGOOGLE_LISTEN"])
	if err != nil {
		return fmt.Errorf("starting the stand-in for Google: %w", err)
	}
	s.GoogleURL = reach(l.Addr().String())
	s.Google, err = fakegoogle.New(fakegoogle.Config{
		Issuer:  s.GoogleURL,
		Clients: []fakegoogle.Client{{ID: ClientID, Secret: clientSecret, RedirectURIs: []string{s.RedirectURI()}}},
	})
	if err != nil {
		_ = l.Close()
		return fmt.Errorf("starting the stand-in for Google: %w", err)
	}
	s.google = &http.Server{Handler: s.Google, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.google.Serve(l) }()
	for name, value := range map[string]string{
		"GOOGLE_CLIENT_ID": ClientID, "GOOGLE_CLIENT_SECRET": clientSecret, "GOOGLE_ISSUER": s.GoogleURL,
		"GOOGLE_AUTH_URL": s.GoogleURL + "/o/oauth2/v2/auth", "GOOGLE_TOKEN_URL": s.GoogleURL + "/token",
		"GOOGLE_JWKS_URL": s.GoogleURL + "/oauth2/v3/certs", "GOOGLE_REVOKE_URL": s.GoogleURL + "/revoke", "GOOGLE_API_URL": s.GoogleURL,
		"GOOGLE_SIGNALS_ISSUER": s.Google.SignalIssuer(),
	} {
		s.env[name] = value
	}
	return nil
}

// Operator are the settings with which an operator's commands reach this stack, but
// for the database and the addresses: no secret is among them other than the
// stand-in's, which is none.
func (s *Stack) Operator() [][2]string {
	names := []string{"RESOURCE_URL", "KEK_FILE", "RS_JWKS_FILE"}
	if s.Google != nil {
		names = append(names, "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GOOGLE_ISSUER", "GOOGLE_AUTH_URL", "GOOGLE_TOKEN_URL", "GOOGLE_JWKS_URL", "GOOGLE_REVOKE_URL", "GOOGLE_API_URL")
	}
	var out [][2]string
	for _, name := range names {
		if value := s.env[name]; value != "" {
			out = append(out, [2]string{name, value})
		}
	}
	return out
}

// RedirectURI is where Google sends people back to.
func (s *Stack) RedirectURI() string { return s.env["ISSUER"] + "/google/callback" }

// Close ends everything that was started, the servers first.
func (s *Stack) Close() {
	for _, p := range []*Process{s.RS, s.AS} {
		if p != nil {
			p.Stop()
		}
	}
	if s.google != nil {
		_ = s.google.Close()
	}
	if s.cluster != nil {
		if err := s.cluster.Close(); err != nil {
			s.config.Log(err.Error())
		}
	}
}

// Wait blocks until a part ends unasked, which is an error, or ctx ends.
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.AS.Done():
		return s.AS.ended()
	case <-s.RS.Done():
		return s.RS.ended()
	case <-s.DatabaseDone():
		return fmt.Errorf("PostgreSQL ended: see %s", filepath.Join(s.database.Dir, "postgres.log"))
	}
}

// Ready waits until both servers say that they are.
func (s *Stack) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, w := range []struct {
		p   *Process
		url string
	}{{s.AS, s.AdminURL + "/readyz"}, {s.RS, reach(s.env["RS_LISTEN"]) + "/readyz"}} {
		if err := await(ctx, w.p, w.url); err != nil {
			return err
		}
	}
	return nil
}

func await(ctx context.Context, p *Process, url string) error {
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.Done():
			return p.ended()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s was not ready within %v, saying: %s (more in %s)", p.Name, readyTimeout, p.lastWords(), p.Log)
			}
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
