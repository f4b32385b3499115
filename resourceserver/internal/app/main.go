package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"

	"latchkey/pkg/commandline"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/credential"
)

type cli struct {
	Config kong.ConfigFlag `help:"JSON file with settings; environment and flags win." placeholder:"FILE"`

	Configuration configCmd      `cmd:"" name:"config" help:"Check and show the settings."`
	Serve         serveCmd       `cmd:"" help:"Run the resource server."`
	Keys          keysCmd        `cmd:"" help:"Make keys."`
	Tools         toolsCmd       `cmd:"" help:"Describe the tools, as Markdown."`
	Completion    completionCmd  `cmd:"" help:"Print a script with which a shell completes commands and flags."`
	Healthcheck   healthcheckCmd `cmd:"" help:"Exit 0 if the running server is ready."`
	Version       versionCmd     `cmd:"" help:"Print the version."`
}

// env is what a command needs from outside.
type env struct {
	ctx     context.Context
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
	parser, err := kong.New(&c, kong.Name("resourceserver"), kong.Description("Latchkey's resource server: Google Workspace tools over MCP."),
		kong.UsageOnError(), kong.Configuration(file.Load), kong.Writers(out, errOut), kong.Exit(func(code int) { exited = code }))
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
	e := &env{ctx: ctx, out: out, errOut: errOut, unknown: file.Unknown(parser.Model)}
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

func fail(w io.Writer, err error) int {
	_, _ = fmt.Fprintf(w, "resourceserver: %v\n", err)
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
	return Serve(e.ctx, settings, newLog(c.Log, e.errOut))
}

type keysCmd struct {
	Init keysInitCmd `cmd:"" help:"Make the key with which this server authenticates at the token exchange, once."`
}

type keysInitCmd struct {
	KeyFile  string `name:"key-file" env:"RS_KEY_FILE" required:"" help:"Private key to make, mode 0600." placeholder:"FILE"`
	JWKSFile string `name:"jwks-file" env:"RS_JWKS_FILE" required:"" help:"Public key set to make; the authorization server gets it as RS_JWKS_FILE." placeholder:"FILE"`
	Keep     bool   `name:"keep" help:"Do nothing if the private key's file exists, for jobs that run at every start."`
}

func (c *keysInitCmd) Run(e *env) error {
	if _, err := os.Stat(c.KeyFile); c.Keep && err == nil {
		return nil
	}
	id, err := credential.CreateKey(c.KeyFile, c.JWKSFile)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "key %s is in %s, its public half in %s\n", id, c.KeyFile, c.JWKSFile)
	return err
}

type healthcheckCmd struct {
	Listen string `name:"rs-listen" env:"RS_LISTEN" default:"127.0.0.1:8090" help:"Address of the running server."`
}

func (c *healthcheckCmd) Run(e *env) error {
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(c.Listen)+"/readyz", nil)
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

// dialable turns an address to listen on into one to call: all interfaces
// include loopback.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if a, err := netip.ParseAddr(host); host == "" || (err == nil && a.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

type versionCmd struct{}

func (versionCmd) Run(e *env) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("built without build information")
	}
	_, err := fmt.Fprintf(e.out, "resourceserver %s revision %s %s\n", info.Main.Version, setting(info, "vcs.revision"), info.GoVersion)
	return err
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return "unknown"
}

// version is what the server tells clients about itself.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
