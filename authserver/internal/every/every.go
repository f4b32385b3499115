package every

import (
	"context"
	"time"
)

// Run calls step after each period, never twice at once, until ctx ends. A step that
// takes longer than the period delays the next one.
func Run(ctx context.Context, period time.Duration, step func(ctx context.Context)) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			step(ctx)
		}
	}
}
