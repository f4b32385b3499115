package app_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
)

// floodTime makes each flood last longer: go test -run TestFloods -flood 15m.
var floodTime = flag.Duration("flood", 2*time.Second, "how long each flood of TestFloods lasts")

// flood is an attack on one endpoint and those it must not keep from being served.
type flood struct {
	workers  int   // of the attack at once
	capacity int64 // what the limits admit of the attack, about; it asks for ten times as much
	attack   func(i int, from string) (status int)
	honest   []func() (status int)
	want     int // their status
	rows     map[string]int64
}

// attacker is one of 40 addresses in 20 networks, half of them IPv6.
func attacker(i int) string {
	if i %= 40; i < 20 {
		return fmt.Sprintf("203.0.%d.%d", i/2, i)
	}
	return fmt.Sprintf("2001:db8:%x:%x::1", i/2, i)
}

// TestFloods: issue 5, R13: a flood at ten times what the limits admit, of registrations, authorization requests, token requests or
// client metadata documents, from many addresses and over two replicas, leaves honest clients at least 99 % success, and the database
// grows by no more than the limits admit.
func TestFloods(t *testing.T) {
	for _, row := range []struct {
		name string
		set  func(t *testing.T) (servers []*authtest.Server, f flood)
	}{
		{"AS-R10 register", floodRegister}, {"authorize", floodAuthorize}, {"AS-T2 token", floodToken}, {"AS-C12 documents", floodDocuments},
	} {
		t.Run(row.name, func(t *testing.T) {
			servers, f := row.set(t)
			db := servers[0].DB(t)
			var asked, admitted atomic.Int64
			var all sync.WaitGroup
			start := time.Now()
			stop := make(chan struct{})
			for i := range f.workers {
				all.Go(func() {
					for n := i; ; n += f.workers {
						select {
						case <-stop:
							return
						default:
						}
						asked.Add(1)
						if status := f.attack(n, attacker(n)); status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
							admitted.Add(1)
						}
					}
				})
			}
			failed := map[int]int{}
			var took []time.Duration
			for n := 0; n < len(f.honest) || time.Since(start) < *floodTime || asked.Load() < 10*f.capacity && time.Since(start) < 5*time.Minute; n++ {
				if n < len(f.honest) { // each is a person or client of its own
					at := time.Now()
					if status := f.honest[n](); status != f.want {
						failed[status]++
					}
					took = append(took, time.Since(at))
				}
				time.Sleep(10 * time.Millisecond) // paces the honest; nothing depends on it
			}
			close(stop)
			all.Wait()
			slices.Sort(took)
			t.Logf("the flood: %d asked, %d admitted in %v; the honest: %d asked, failed %v, half within %v, 99 %% within %v", asked.Load(), admitted.Load(), time.Since(start).Round(time.Millisecond),
				len(took), failed, took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond))
			if asked.Load() < 10*f.capacity || asked.Load() < 5*admitted.Load() {
				t.Errorf("%d asked and %d admitted are no flood", asked.Load(), admitted.Load())
			}
			n := 0
			for _, count := range failed {
				n += count
			}
			if n*100 > len(took) {
				t.Errorf("%d of %d honest requests failed", n, len(took))
			}
			for table, most := range f.rows {
				if got := limitsSQL(t, servers[0].DSN, `SET ROLE latchkey_jobs`, `SELECT count(*) FROM `+table); got > most {
					t.Errorf("%d rows in %s, at most %d", got, table, most)
				}
			}
			// Buckets at rest go with every sweep; what stays is who asked too much, and 100 honest addresses and networks.
			buckets := int64(0)
			for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
				if _, err := db.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if buckets = limitsSQL(t, servers[0].DSN, `SET ROLE latchkey_jobs`, `SELECT count(*) FROM rate_limits`); buckets <= 400 {
					break
				}
			}
			if buckets > 400 {
				t.Errorf("%d buckets are left", buckets)
			}
		})
	}
}

// limited is two replicas with limits of a server that has practically none.
func limited(t *testing.T, s *authtest.Server, scale float64) []*authtest.Server {
	return []*authtest.Server{s.Replica(t, authtest.Limits(scale)), s.Replica(t, authtest.Limits(scale))}
}

func floodRegister(t *testing.T) ([]*authtest.Server, flood) {
	servers := limited(t, authtest.Start(t), 1)
	register := func(i int, from string) int {
		status, _, _ := send(t, http.MethodPost, servers[i%2].URL+"/register", "application/json", registration, from)
		return status
	}
	// 100 at once for the busy, and a few of each network before it is.
	f := flood{workers: 8, capacity: 250, attack: register, want: http.StatusCreated, rows: map[string]int64{"clients": 250 + 100}}
	for i := range 100 {
		f.honest = append(f.honest, func() int { return register(i, fmt.Sprintf("198.51.%d.7", i)) })
	}
	return servers, f
}

func floodAuthorize(t *testing.T) ([]*authtest.Server, flood) {
	s := authtest.Start(t)
	v := s.NewVisit(t)
	servers := limited(t, s, 0.01) // 3 at once per address
	authorize := func(i int, client, from string) int {
		q := url.Values{}
		for k, values := range v.Query {
			q[k] = values
		}
		q.Set("client_id", client)
		status, _, _ := send(t, http.MethodGet, servers[i%2].URL+"/authorize?"+q.Encode(), "", "", from)
		return status
	}
	f := flood{workers: 8, capacity: 40 * 3, want: http.StatusOK, rows: map[string]int64{"flows": 0, "grants": 0}, attack: func(i int, from string) int {
		if i%2 == 0 { // names the honest client, or invents one
			return authorize(i, v.Client, from)
		}
		return authorize(i, fmt.Sprint("c_", i), from)
	}}
	for i := range 100 {
		f.honest = append(f.honest, func() int { return authorize(i, v.Client, fmt.Sprintf("198.51.%d.7", i)) })
	}
	return servers, f
}

func floodToken(t *testing.T) ([]*authtest.Server, flood) {
	s := authtest.Start(t)
	v := s.NewVisit(t)
	servers := limited(t, s, 0.004) // 24 at once per address, 12 with the client; of guesses one, and one more each minute
	token := func(i int, form url.Values, from string) (int, string) {
		status, _, body := send(t, http.MethodPost, servers[i%2].URL+"/token", formType, form.Encode(), from)
		return status, body
	}
	forged := s.SignIn(t, v)["refresh_token"].(string)
	forged = forged[:len(forged)-4] + "AAAA"
	f := flood{workers: 8, capacity: 40 * 2, want: http.StatusOK, rows: map[string]int64{"grants": 12}, attack: func(i int, from string) int {
		form := v.Refresh(forged)
		if i%2 == 0 {
			form.Set("client_id", fmt.Sprint("c_", i))
		}
		status, _ := token(i, form, from)
		return status
	}}
	for person := range 10 { // of the client that is named by the flood
		refresh := s.SignIn(t, s.VisitAs(t, v.Client))["refresh_token"].(string)
		for range 10 {
			f.honest = append(f.honest, func() int {
				status, body := token(person, v.Refresh(refresh), fmt.Sprintf("198.51.%d.7", person))
				if status == http.StatusOK {
					refresh = document(t, body)["refresh_token"].(string)
				}
				return status
			})
		}
	}
	return servers, f
}

// hang is a host that takes as long as a server waits for it, three seconds, and ends
// then by itself: servers under test wait longer, for honest hosts on a busy machine.
func hang(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(3 * time.Second):
	}
	panic(http.ErrAbortHandler)
}

func floodDocuments(t *testing.T) ([]*authtest.Server, flood) {
	var hosts []*authtest.DocumentHost
	for range 40 {
		hosts = append(hosts, authtest.NewDocumentHost(t))
	}
	s := authtest.Start(t, func(c *config.Server) {
		for _, h := range hosts {
			c.TestHosts = append(c.TestHosts, h.Addr)
		}
	})
	kept := s.Host.PublishClient(t, "/kept.json", nil)
	s.SignIn(t, s.VisitAs(t, kept))
	servers := limited(t, s, 1)
	page := func(i int, client, from string) int {
		status, _, _ := send(t, http.MethodGet, strings.Replace(s.AuthorizeURL(s.VisitAs(t, client)), s.URL, servers[i%2].URL, 1), "", "", from)
		return status
	}
	attacked, newcomers := hosts[:20], hosts[20:]
	for _, h := range attacked {
		for n := range 200 {
			h.Answer(fmt.Sprintf("/slow%d.json", n), hang)
		}
	}
	// Whoever is admitted hangs on a slow host, so it takes many.
	f := flood{workers: 64, capacity: 30 + 20*4, want: http.StatusOK, rows: map[string]int64{"client_documents": 1 + 20}, attack: func(i int, from string) int {
		return page(i, fmt.Sprintf("%s/slow%d.json", attacked[i%20].URL, i/20%200), from)
	}}
	for i := range 100 {
		if i%5 == 0 { // never seen before
			client := newcomers[i/5].PublishClient(t, "/client.json", nil)
			f.honest = append(f.honest, func() int { return page(i, client, fmt.Sprintf("198.51.%d.7", i)) })
			continue
		}
		f.honest = append(f.honest, func() int { return page(i, kept, fmt.Sprintf("198.51.%d.7", i)) })
	}
	return servers, f
}
