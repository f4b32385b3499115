package fakegoogle

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is a switched-on misbehaviour of requests whose path has a prefix.
type Fault struct {
	Prefix  string        `json:"prefix"`           // of the path, e.g. "/token" or "/gmail/"
	Status  int           `json:"status,omitempty"` // answer with this status
	Code    string        `json:"code,omitempty"`   // error code (OAuth) or reason (API), e.g. "rateLimitExceeded"
	Subtype string        `json:"subtype,omitempty"`
	Delay   time.Duration `json:"delay,omitempty"` // wait first, in nanoseconds
	Reset   bool          `json:"reset,omitempty"` // cut the connection
	Hang    bool          `json:"hang,omitempty"`  // never answer, until the caller goes away
	Hold    chan struct{} `json:"-"`               // wait first until it is closed, or the caller goes away
	Times   int           `json:"times,omitempty"` // how often; 0 until cleared

	Method string `json:"method,omitempty"` // only requests with this HTTP method
	Unless string `json:"unless,omitempty"` // not requests with this header, "Name: value"
	After  bool   `json:"after,omitempty"`  // do what is asked and lose the answer

	RetryAfter int `json:"retry_after,omitempty"` // header of an answer with Status, in seconds

	// ID token faults, for path prefix "/token".
	Nonce, Audience, Issuer string
	Unverified              bool // email_verified false
	NoRefresh               bool // leave the refresh token out
}

// Inject switches a fault on and returns how to switch it off.
func (s *Server) Inject(f Fault) (clear func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &f
	s.faults = append(s.faults, p)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, other := range s.faults {
			if other == p {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
				return
			}
		}
	}
}

// Clear switches every fault off.
func (s *Server) Clear() {
	s.mu.Lock()
	s.faults = nil
	s.mu.Unlock()
}

// take returns the first fault for a path that want accepts, counting it.
func (s *Server) take(path string, want func(*Fault) bool) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !strings.HasPrefix(path, f.Prefix) || !want(f) {
			continue
		}
		out := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return &out
	}
	return nil
}

// inject applies a transport fault. It reports whether the request is answered.
func (s *Server) inject(w http.ResponseWriter, r *http.Request) bool {
	f := s.take(r.URL.Path, func(f *Fault) bool {
		name, value, named := strings.Cut(f.Unless, ": ")
		return (f.Method == "" || f.Method == r.Method) && !(named && r.Header.Get(name) == value) && (f.Status != 0 || f.Delay > 0 || f.Reset || f.Hang || f.Hold != nil)
	})
	if f == nil {
		return false
	}
	if f.After {
		s.mux.ServeHTTP(&lost{header: http.Header{}}, r)
	}
	if f.Delay > 0 {
		select {
		case <-r.Context().Done():
		case <-time.After(f.Delay):
		}
	}
	if f.Hold != nil || f.Hang {
		s.count("held")
	}
	if f.Hold != nil {
		select {
		case <-r.Context().Done():
			s.count("given up")
		case <-f.Hold:
		}
	}
	switch {
	case f.Hang:
		<-r.Context().Done()
		s.count("given up")
		return true
	case f.Reset:
		panic(http.ErrAbortHandler)
	case f.Status == 0:
		return false
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	if r.URL.Path == "/token" {
		tokenError(w, f.Status, f.Code, f.Subtype)
		return true
	}
	status := map[int]string{401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}[f.Status]
	writeError(w, &apiError{f.Status, status, f.Code, "Injected fault."})
	return true
}

// lost is where an answer goes that nobody gets.
type lost struct{ header http.Header }

func (l *lost) Header() http.Header         { return l.header }
func (l *lost) Write(b []byte) (int, error) { return len(b), nil }
func (l *lost) WriteHeader(int)             {}

// RevokeUser ends every grant of a user, as a person does on their account
// page: refreshing answers invalid_grant.
func (s *Server) RevokeUser(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, g := range s.grants {
		if s.users[key.sub] != nil && s.users[key.sub].Email == email {
			s.end(key, g)
		}
	}
}

// SetTesting puts a client's consent screen into testing mode: refresh tokens
// given from now on die after so long, at Google after seven days. 0 publishes it.
func (s *Server) SetTesting(client string, life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[client]
	c.Testing = life
	s.clients[client] = c
}

// RefreshTokens are those that are alive, for tests that look for them where
// they must not be.
func (s *Server) RefreshTokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.refresh))
}

// ExpireAccessTokens ends the life of every access token.
func (s *Server) ExpireAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.access {
		t.expires = s.now()
	}
}

// SetTokenLifetime is how long access tokens given from now on live.
func (s *Server) SetTokenLifetime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifetime = d
}

// Advance moves the stand-in's clock on.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now
	s.now = func() time.Time { return before().Add(d) }
}

func (s *Server) controlFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if f.Prefix == "" {
		s.Clear()
	} else {
		s.Inject(f)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) controlRevoke(w http.ResponseWriter, r *http.Request) {
	s.RevokeUser(r.FormValue("email"))
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) controlExpire(w http.ResponseWriter, _ *http.Request) {
	s.ExpireAccessTokens()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) controlCounters(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.counters)
}
