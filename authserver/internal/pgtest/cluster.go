package pgtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"latchkey/deploy/dev/pgcluster"
)

var clusters atomic.Int32

// Cluster starts a server of the test's own, not migrated, for what reaches
// beyond one database: roles, restarts. It costs about two seconds and needs
// PostgreSQL's binaries even where TEST_DATABASE_URL is set.
func Cluster(t testing.TB) *pgcluster.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	dir := fmt.Sprintf("%s-own-%d", processDir(), clusters.Add(1))
	cluster, err := pgcluster.Start(ctx, pgcluster.Config{Dir: dir, BinDir: os.Getenv("PG_BIN"), Ephemeral: true})
	if err != nil {
		t.Fatalf("no server for this test: %v", err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Errorf("stopping %s: %v", filepath.Base(dir), err)
		}
	})
	return cluster
}
