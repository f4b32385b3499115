// Command up runs a complete Latchkey on this machine: PostgreSQL, a stand-in
// for Google, the authorization server and the resource server, and shows by
// one complete client flow that it works. It stays in the foreground; whatever
// ends it leaves nothing behind but the data directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"latchkey/deploy/dev/pgcluster"
	"latchkey/deploy/dev/smoke"
	"latchkey/deploy/dev/stack"
)

const smokeTimeout = 2 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	bin := flags.String("bin", "bin", "directory of the servers' binaries")
	runDir := flags.String("run", ".run", "directory of logs and endpoints.env")
	dataDir := flags.String("data", os.Getenv("LATCHKEY_DATA"), "directory of database and keys (environment LATCHKEY_DATA; default: one of this user)")
	noInstall := flags.Bool("no-install", os.Getenv("NO_INSTALL") != "", "never install PostgreSQL (environment NO_INSTALL)")
	withParent := flags.Bool("with-parent", false, "end when the parent process ends")
	down := flags.Bool("down", false, "stop the runner that was started here")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *down {
		return stopOther(*runDir)
	}
	if *withParent {
		if err := dieWithParent(); err != nil {
			return err
		}
	}
	held, err := takeLock(*runDir)
	if err != nil {
		return err
	}
	defer held.release()
	if err := forgetEndpoints(*runDir); err != nil { // of a runner that was killed
		return err
	}
	defer func() { _ = forgetEndpoints(*runDir) }()
	if *dataDir == "" {
		cluster, err := pgcluster.DefaultDir()
		if err != nil {
			return err
		}
		*dataDir = filepath.Dir(cluster)
	}
	start := time.Now()
	s, err := stack.Start(ctx, stack.Config{
		Bin: *bin, Data: *dataDir, Run: *runDir, Env: os.Environ(), NoInstall: *noInstall, Log: func(msg string) { fmt.Println(msg) },
	})
	if err != nil {
		return interrupted(ctx, err)
	}
	defer s.Close()
	if s.Google != nil {
		fmt.Println("One complete client flow:")
		bounded, cancel := context.WithTimeout(ctx, smokeTimeout)
		_, err := smoke.Run(bounded, smoke.Config{MCPURL: s.MCPURL, Out: os.Stdout})
		cancel()
		if err != nil {
			return interrupted(ctx, fmt.Errorf("the client flow failed (logs: %s, %s): %w", s.AS.Log, s.RS.Log, err))
		}
	}
	if err := writeEndpoints(*runDir, s); err != nil {
		return err
	}
	banner(os.Stdout, s, filepath.Join(*runDir, endpointsName), time.Since(start))
	err = s.Wait(ctx)
	fmt.Println("stopping")
	return err
}

// interrupted: a start that Ctrl-C ended is no failure.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
