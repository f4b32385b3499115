package fakegoogle

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/deploy/dev/fakegoogle/discovery"
)

// Client is an OAuth client registered at the stand-in.
type Client struct {
	ID           string
	Secret       string
	RedirectURIs []string
	Testing      time.Duration // consent screen in testing mode: refresh tokens die after so long, at Google seven days; 0: published
}

// Config configures a Server. Issuer is its own base URL.
type Config struct {
	Issuer        string
	Clients       []Client
	TokenLifetime time.Duration    // of access tokens; default one hour
	Now           func() time.Time // default time.Now
	Crowd         int              // users besides alice, bob and carol: person01@crowd.test and so on
}

// Server is the stand-in. Safe for concurrent use.
type Server struct {
	issuer   string
	lifetime time.Duration
	now      func() time.Time
	key      *rsa.PrivateKey
	mux      *http.ServeMux

	mu       sync.Mutex
	clients  map[string]Client
	users    map[string]*User // by sub
	spaces   []*space         // of Chat
	codes    map[string]*code
	access   map[string]*accessToken
	refresh  map[string]*refreshToken
	grants   map[grantKey]*consented
	faults   []*Fault
	counters map[string]int
	hooks    map[string]*hook
	sessions map[string]*session // resumable uploads, by upload_id
}

// hook runs once, after a number of requests of its name were answered.
type hook struct {
	left int
	run  func()
}

// OnRequest runs a function once, after the answer to the n-th request from now
// on with this method and path: for what somebody else does in between.
func (s *Server) OnRequest(name string, n int, run func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hooks == nil {
		s.hooks = map[string]*hook{}
	}
	s.hooks[name] = &hook{n, run}
}

func (s *Server) after(name string) {
	s.mu.Lock()
	h := s.hooks[name]
	if h == nil {
		s.mu.Unlock()
		return
	}
	if h.left--; h.left > 0 {
		s.mu.Unlock()
		return
	}
	delete(s.hooks, name)
	s.mu.Unlock()
	h.run()
}

// signingKey is the key of ID tokens and events, one for all servers of a process:
// to make it takes longer than all the rest of New, and tests make hundreds.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// New returns a server with seeded users: alice and bob of example.com, carol
// of another domain.
func New(c Config) (*Server, error) {
	key, err := signingKey()
	if err != nil {
		return nil, fmt.Errorf("making the ID token key: %w", err)
	}
	s := &Server{
		issuer: c.Issuer, lifetime: c.TokenLifetime, now: c.Now, key: key, mux: http.NewServeMux(),
		clients: map[string]Client{}, users: map[string]*User{}, codes: map[string]*code{}, access: map[string]*accessToken{},
		refresh: map[string]*refreshToken{}, grants: map[grantKey]*consented{}, counters: map[string]int{}, sessions: map[string]*session{},
	}
	if s.lifetime == 0 {
		s.lifetime = time.Hour
	}
	if s.now == nil {
		s.now = time.Now
	}
	for _, cl := range c.Clients {
		s.clients[cl.ID] = cl
	}
	for _, u := range seed(s.now(), c.Crowd) {
		s.users[u.Sub] = u
	}
	s.seedChat(s.now().UTC().Truncate(time.Minute))
	s.mux.HandleFunc("GET /o/oauth2/v2/auth", s.authorize)
	s.mux.HandleFunc("POST /o/oauth2/v2/choose", s.choose)
	s.mux.HandleFunc("POST /o/oauth2/v2/consent", s.consent)
	s.mux.HandleFunc("POST /token", s.token)
	s.mux.HandleFunc("POST /revoke", s.revoke)
	s.mux.HandleFunc("GET /oauth2/v3/certs", s.certs)
	s.mux.HandleFunc("GET /v1/userinfo", s.userinfo)
	s.mux.HandleFunc("GET /.well-known/risc-configuration", s.riscConfiguration)
	s.mux.HandleFunc("POST /control/fault", s.controlFault)
	s.mux.HandleFunc("POST /control/revoke", s.controlRevoke)
	s.mux.HandleFunc("POST /control/expire", s.controlExpire)
	s.mux.HandleFunc("POST /control/signal", s.controlSignal)
	s.mux.HandleFunc("GET /control/counters", s.controlCounters)
	s.mux.HandleFunc("/", s.api)
	return s, nil
}

// AddClient registers another OAuth client, or another form of one.
func (s *Server) AddClient(c Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c.ID] = c
}

const maxBody = 8 << 20

// ServeHTTP counts the request, applies a fault if one is switched on for its
// path, and serves it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if !strings.HasPrefix(r.URL.Path, "/control/") {
		s.count(r.Method + " " + r.URL.Path)
		if s.inject(w, r) {
			return
		}
	}
	name := r.Method + " " + r.URL.Path
	s.mux.ServeHTTP(w, r)
	s.after(name)
}

func (s *Server) count(name string) {
	s.mu.Lock()
	s.counters[name]++
	s.mu.Unlock()
}

// Count returns how many requests with method and path there were, e.g.
// "POST /token"; "refresh" counts successful refreshes, "held" the requests that
// a fault let hang or held, "given up" those of them whose callers went away.
func (s *Server) Count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters[name]
}

// call is one API call, authorised.
type call struct {
	s      *Server
	user   *User
	token  *accessToken
	method *discovery.Method
	path   map[string]string
	query  url.Values
	r      *http.Request
	body   []byte
}

// decode reads the JSON body.
func (c *call) decode(into any) error {
	if len(c.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return &apiError{400, "INVALID_ARGUMENT", "parseError", "Parse Error"}
	}
	return nil
}

// size reads a page size parameter with its default and maximum.
func (c *call) size(name string, def, most int) int {
	n, err := strconv.Atoi(c.query.Get(name))
	if err != nil || n <= 0 {
		return def
	}
	return min(n, most)
}

// api serves the REST APIs.
func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	m, path := match(r)
	if m == nil {
		writeError(w, &apiError{404, "NOT_FOUND", "notFound", "The requested URL was not found on this server."})
		return
	}
	s.mu.Lock()
	token := s.access[bearer(r)]
	valid := token != nil && s.now().Before(token.expires) && !token.revoked
	s.mu.Unlock()
	if !valid {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
		writeError(w, &apiError{401, "UNAUTHENTICATED", "authError", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."})
		return
	}
	if !token.allows(m.Scopes) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="`+strings.Join(m.Scopes, " ")+`"`)
		writeError(w, &apiError{403, "PERMISSION_DENIED", "insufficientPermissions", "Request had insufficient authentication scopes."})
		return
	}
	handle, ok := handlers[m.ID]
	if !ok {
		writeError(w, &apiError{501, "UNIMPLEMENTED", "notImplemented", "The stand-in for Google does not know " + m.ID + "."})
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		writeError(w, &apiError{413, "INVALID_ARGUMENT", "uploadTooLarge", "Request is too large."})
		return
	}
	s.mu.Lock()
	out, err := handle(&call{s: s, user: token.user, token: token, method: m, path: path, query: r.URL.Query(), r: r, body: body})
	var encoded []byte
	if err == nil {
		if raw, isRaw := out.(*rawBody); isRaw {
			s.mu.Unlock()
			w.Header().Set("Content-Type", raw.mimeType)
			_, _ = w.Write(raw.content)
			return
		}
		if session, is := out.(*sessionAnswer); is {
			s.mu.Unlock()
			session.write(w, r)
			return
		}
		encoded, err = encode(out, r.URL.Query().Get("fields"))
	}
	s.mu.Unlock()
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if out == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_, _ = w.Write(encoded)
}

// rawBody is a download.
type rawBody struct {
	mimeType string
	content  []byte
}

// apiError is an error in Google's JSON form.
type apiError struct {
	code    int
	status  string
	reason  string
	message string
}

func (e *apiError) Error() string { return e.message }

func notFound(what string) error {
	return &apiError{404, "NOT_FOUND", "notFound", what + " not found."}
}

func badRequest(message string) error {
	return &apiError{400, "INVALID_ARGUMENT", "badRequest", message}
}

func writeError(w http.ResponseWriter, err error) {
	e, ok := err.(*apiError)
	if !ok {
		e = &apiError{500, "INTERNAL", "backendError", "Internal error encountered."}
	}
	detail := map[string]any{"message": e.message, "domain": "global", "reason": e.reason}
	body := map[string]any{"code": e.code, "message": e.message, "status": e.status, "errors": []any{detail}}
	if e.reason == "insufficientPermissions" {
		body["details"] = []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com"}}
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(e.code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": body})
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}
