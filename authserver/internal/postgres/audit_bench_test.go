package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/grant"
)

// BenchmarkAudit shows what the audit trail adds to a rotation, the most
// frequent act: without its event, with it, and with it while a sealer works.
// The event's context is that of a request. The times are medians, ratio is
// theirs: at most 1.3.
func BenchmarkAudit(b *testing.B) {
	f, key := setUp(b, nil), newAuditKey(b, "k1")
	request := audit.WithRequest(ctx, audit.Request{ID: "ABCDEFGHIJKLMNOP", Source: "198.51.100.0/24"})
	type rotate func(context.Context, grant.Rotation) (*grant.Grant, error)
	warm := func(call rotate) func() time.Duration {
		r := f.grant(b)
		if _, err := f.db.RedeemCode(ctx, r); err != nil {
			b.Fatal(err)
		}
		generation := int32(0)
		return func() time.Duration {
			generation++
			start := time.Now()
			if _, err := call(request, rotation(r, generation)); err != nil {
				b.Fatal(err)
			}
			return time.Since(start)
		}
	}
	for _, sealing := range []bool{false, true} {
		name := "alone"
		if sealing {
			name = "sealing"
		}
		b.Run(name, func(b *testing.B) {
			bare, with := warm(f.db.RotateWithoutAudit), warm(f.db.RotateRefresh)
			for range 200 {
				bare()
				with()
			}
			if sealing {
				done := make(chan struct{})
				ended := make(chan error, 1)
				go func() {
					for {
						select {
						case <-done:
							ended <- nil
							return
						case <-time.After(100 * time.Millisecond): // twenty times as often as a server does
							if err := sealer(f.db, key).Round(ctx, 0); err != nil {
								ended <- err
								return
							}
						}
					}
				}()
				defer func() {
					close(done)
					if err := <-ended; err != nil {
						b.Error(err)
					}
				}()
			}
			var plain, audited []time.Duration
			for b.Loop() { // alternating: whatever else the machine does hits both
				plain, audited = append(plain, bare()), append(audited, with())
			}
			slices.Sort(plain)
			slices.Sort(audited)
			p, a := plain[len(plain)/2], audited[len(audited)/2]
			b.ReportMetric(float64(p.Nanoseconds()), "plain-ns")
			b.ReportMetric(float64(a.Nanoseconds()), "audited-ns")
			b.ReportMetric(float64(a)/float64(p), "ratio")
		})
	}
}
