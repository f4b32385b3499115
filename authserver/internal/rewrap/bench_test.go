package rewrap_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

// BenchmarkRewrap seals b.N persons' values anew while other goroutines open some: go test -run '^$' -bench Rewrap -benchtime 100000x.
func BenchmarkRewrap(b *testing.B) {
	f := setUp(b, b.N)
	_, active := f.rotate(b)
	server := f.vault(b)
	stop, opened := make(chan struct{}), atomic.Int64{}
	var readers sync.WaitGroup
	for w := range 2 {
		readers.Go(func() {
			for i := w % len(f.persons); ; i = (i + 7919) % len(f.persons) {
				select {
				case <-stop:
					return
				default:
				}
				r, err := f.db.Connection(ctx, f.persons[i].Ref)
				if err == nil {
					_, err = server.Open(ctx, r.Binding(vault.RefreshToken), r.SealedRefresh)
				}
				if err != nil {
					b.Errorf("an open failed: %v", err)
					return
				}
				opened.Add(1)
			}
		})
	}
	run := f.run(b)
	b.ResetTimer()
	p, err := run.Tenant(ctx, tenant.DefaultID)
	b.StopTimer()
	close(stop)
	readers.Wait()
	if err != nil || p.Refused != 0 || len(p.Left) != 0 {
		b.Fatalf("%+v %v", p, err)
	}
	b.ReportMetric(float64(3*b.N)/b.Elapsed().Seconds(), "values/s")
	b.ReportMetric(float64(opened.Load())/b.Elapsed().Seconds(), "opens/s")
	if b.N <= 1000 {
		f.check(b, active)
	}
}
