package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/tenant"
)

// BenchmarkEpoch shows what looking for an epoch adds to a rotation, when there is
// none, as almost always, and when 100 of them are open and about others. The
// times are medians, ratio is theirs.
func BenchmarkEpoch(b *testing.B) {
	for name, open := range map[string]int{"none": 0, "100": 100} {
		b.Run(name, func(b *testing.B) {
			f := setUp(b, nil)
			for i := range open {
				if _, _, err := f.db.BeginRevocation(ctx, uuid.New(), revocation.Selector{Tenant: tenant.DefaultID, Client: "other-" + string(rune('a'+i%26)) + string(rune('a'+i/26))}); err != nil {
					b.Fatal(err)
				}
			}
			warm := func(call func(context.Context, grant.Rotation) (*grant.Grant, error)) func() time.Duration {
				r := f.grant(b)
				if _, err := f.db.RedeemCode(ctx, r); err != nil {
					b.Fatal(err)
				}
				generation := int32(0)
				return func() time.Duration {
					generation++
					start := time.Now()
					if _, err := call(ctx, rotation(r, generation)); err != nil {
						b.Fatal(err)
					}
					return time.Since(start)
				}
			}
			bare, with := warm(f.db.RotateWithoutEpoch), warm(f.db.RotateRefresh)
			for range 200 {
				bare()
				with()
			}
			var plain, looked []time.Duration
			for b.Loop() { // alternating: whatever else the machine does hits both
				plain, looked = append(plain, bare()), append(looked, with())
			}
			slices.Sort(plain)
			slices.Sort(looked)
			p, l := plain[len(plain)/2], looked[len(looked)/2]
			b.ReportMetric(float64(p.Nanoseconds()), "plain-ns")
			b.ReportMetric(float64(l.Nanoseconds()), "epoch-ns")
			b.ReportMetric(float64(l)/float64(p), "ratio")
		})
	}
}
