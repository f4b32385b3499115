package pgcluster

import (
	"context"
	"os"
)

// BinDir is the directory of the programs that a cluster is made with here.
func BinDir(ctx context.Context) (string, error) {
	b, err := findBinaries(ctx, Config{BinDir: os.Getenv("PG_BIN")})
	return b.dir, err
}
