package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// MinFresh and MaxFresh bound how long a document counts as fresh, whatever
	// its headers say (SEP-991: at most 24 h).
	MinFresh = time.Minute
	MaxFresh = 24 * time.Hour

	total         = 3 * time.Second // name resolution to the last byte
	maxHeader     = 16 << 10
	maxLimit      = 1 << 20
	userAgent     = "Latchkey"
	resolveTime   = 2 * time.Second
	handshakeTime = 2 * time.Second
	maxJoined     = 3 // fetches shared one after the other whose leader had used up its own budget
)

// ErrInvalid says that the host answered 200 with something that is no such
// document: another media type, or more than the limit. A verdict.
var ErrInvalid = errors.New("answer is not a document of the right type and size")

// StatusError is an answer other than 200. A redirect is one too.
type StatusError struct{ Status int }

func (e *StatusError) Error() string { return fmt.Sprintf("answered status %d", e.Status) }

// Config configures a Fetcher. The zero Config is for production.
type Config struct {
	AllowHosts []string         // test only: exact host:port that may be on loopback and on that port
	RootCAs    *x509.CertPool   // test only: nil means the system's
	Now        func() time.Time // default time.Now
	Shared     Shared           // nil: what this process knows is all
}

// Shared counts fetches over all replicas. FetchDocument returns how long to wait,
// 0 to go on, and whether that is because of the source's own fetches.
type Shared interface {
	FetchDocument(ctx context.Context, source string) (wait time.Duration, ofSource bool)
}

// Fetcher fetches. Safe for concurrent use.
type Fetcher struct {
	allow      []string // host:port
	allowAddrs []string // the addresses of these
	http       *http.Client
	dialer     *net.Dialer
	connect    func(ctx context.Context, network, address string) (net.Conn, error) // dialer's
	now        func() time.Time
	total      time.Duration // of one fetch
	flight     singleflight.Group
	governor   governor
}

// New returns a fetcher. It starts nothing. It returns an error for an
// AllowHosts entry that is not host:port on loopback.
func New(c Config) (*Fetcher, error) {
	f := &Fetcher{allow: c.AllowHosts, now: c.Now, total: total, governor: governor{shared: c.Shared}}
	if f.now == nil {
		f.now = time.Now
	}
	for _, at := range c.AllowHosts {
		host, port, err := net.SplitHostPort(at)
		ip := net.ParseIP(host)
		switch {
		case err == nil && host == "localhost":
			f.allowAddrs = append(f.allowAddrs, "127.0.0.1:"+port, "[::1]:"+port)
		case err == nil && ip != nil && ip.IsLoopback():
			f.allowAddrs = append(f.allowAddrs, net.JoinHostPort(ip.String(), port))
		default:
			return nil, fmt.Errorf("%q is not host:port on loopback", at)
		}
	}
	f.dialer = &net.Dialer{Timeout: resolveTime, Control: f.control, KeepAlive: -1}
	f.connect = f.dialer.DialContext
	f.http = &http.Client{
		// A redirect would lead around every check (draft client ID metadata document §4).
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would resolve the name itself
			DialContext:            f.dial,
			TLSClientConfig:        &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    handshakeTime,
			ResponseHeaderTimeout:  total,
			MaxResponseHeaderBytes: maxHeader,
			DisableKeepAlives:      true, // no connection to a stranger stays open
			DisableCompression:     true, // no body grows on the way
		},
	}
	return f, nil
}

// Request is one fetch.
type Request struct {
	URL    string
	Limit  int64  // of the body, in bytes, at most 1 MiB
	Known  bool   // the host is listed by the operator or was used before: not counted among strangers
	Kept   bool   // the caller has a copy of this very URL: known, and not counted with others at its host
	Source string // address of whoever caused the fetch, "" if nobody did
}

// Document is what was fetched.
type Document struct {
	Body       []byte
	Fetched    time.Time
	FreshUntil time.Time // by its HTTP headers (RFC 9111 §4.2), within MinFresh and MaxFresh
}

// Get fetches a document within three seconds. Concurrent calls for one URL and
// limit share a fetch, which one caller's leaving does not end. It returns
// ErrRefused, *StatusError, ErrInvalid or *BusyError; any other error is doubt
// about the network.
func (f *Fetcher) Get(ctx context.Context, r Request) (*Document, error) {
	host, err := f.checkURL(r.URL)
	if err != nil {
		return nil, err
	}
	if r.Limit <= 0 || r.Limit > maxLimit {
		return nil, errors.New("a fetch needs a limit of at most 1 MiB")
	}
	r.Known = r.Known || r.Kept
	// Who is counted together shares: a known URL is not told what a stranger is.
	key := fmt.Sprintf("%d %s %s", r.Limit, account(host, r), r.URL)
	var result singleflight.Result
	for range maxJoined {
		mine := false
		done := f.flight.DoChan(key, func() (any, error) {
			mine = true
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.total)
			defer cancel()
			release, err := f.governor.admit(ctx, f.now(), host, r)
			if err != nil {
				return nil, err
			}
			defer release()
			return f.get(ctx, r, host)
		})
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case result = <-done:
		}
		var busy *BusyError
		if mine || !errors.As(result.Err, &busy) || !busy.ofSource {
			break
		}
	}
	if result.Err != nil {
		return nil, result.Err
	}
	return result.Val.(*Document), nil
}

// fetchKey is where a fetch's context is found in those derived from it.
type fetchKey struct{}

// dial connects for one fetch. http.Transport lets a dial and its handshake go on
// when the request has given up; here they end with the fetch, whose slot is
// another's from then on.
func (f *Fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	fetch, ok := ctx.Value(fetchKey{}).(context.Context)
	if !ok {
		return nil, errors.New("a connection belongs to a fetch")
	}
	conn, err := f.connect(fetch, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(fetch, func() { _ = conn.Close() })
	return conn, nil
}

func (f *Fetcher) get(ctx context.Context, r Request, host string) (*Document, error) {
	req, err := http.NewRequestWithContext(context.WithValue(ctx, fetchKey{}, ctx), http.MethodGet, r.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the URL does not parse", ErrRefused)
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := f.http.Do(req)
	if err != nil {
		if errors.Is(err, ErrRefused) {
			return nil, fmt.Errorf("%w: %s does not lead to a public address", ErrRefused, host)
		}
		return nil, fmt.Errorf("fetching from %s: %w", host, reason(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK { // draft §4.1: no other success
		return nil, &StatusError{resp.StatusCode}
	}
	if !isJSON(resp.Header.Get("Content-Type")) || resp.Header.Get("Content-Encoding") != "" || resp.ContentLength > r.Limit {
		return nil, ErrInvalid
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.Limit+1))
	if err == nil {
		err = ctx.Err() // our own closing made it end
	}
	if err != nil {
		return nil, fmt.Errorf("reading from %s: %w", host, reason(err))
	}
	if int64(len(body)) > r.Limit {
		return nil, ErrInvalid
	}
	now := f.now()
	return &Document{Body: body, Fetched: now, FreshUntil: now.Add(freshness(resp.Header, now))}, nil
}

// reason keeps resolved addresses out of the text: an error text may reach whoever
// named the host.
func reason(err error) error {
	var timeout net.Error
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return errors.New("the name could not be resolved")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no complete answer in time")
	case errors.As(err, &certificate):
		return errors.New("the certificate is not trusted")
	}
	return errors.New("the connection failed")
}

// isJSON admits application/json and application/*+json (draft §4.1).
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	subtype, ok := strings.CutPrefix(mediaType, "application/")
	return ok && (subtype == "json" || (strings.HasSuffix(subtype, "+json") && len(subtype) > len("+json")))
}

// freshness is how long a response stays fresh: max-age, else Expires less Date,
// less Age, within our bounds. s-maxage is for shared caches in between and is
// ignored. What contradicts itself or is no number is stale (RFC 9111 §4.2.1).
func freshness(h http.Header, now time.Time) time.Duration {
	life := time.Duration(0)
	found := false
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return MinFresh
		case "max-age":
			seconds, ok := deltaSeconds(strings.Trim(value, `"`))
			if !ok || (found && seconds != life) {
				return MinFresh
			}
			life, found = seconds, true
		}
	}
	if !found {
		life = expiry(h, now)
	}
	if values := h.Values("Age"); len(values) > 0 {
		first, _, _ := strings.Cut(values[0], ",") // RFC 9111 §5.1: the first of several
		age, ok := deltaSeconds(strings.TrimSpace(first))
		if !ok {
			age = 0 // RFC 9111 §5.1: what is no number is ignored
		}
		life -= age
	}
	return min(max(life, MinFresh), MaxFresh)
}

// expiry is what Expires grants by the server's own clock (RFC 9111 §4.2.1), at
// least 0 and at most MaxFresh more than an Age can take away.
func expiry(h http.Header, now time.Time) time.Duration {
	values := h.Values("Expires")
	if len(values) != 1 {
		return 0
	}
	until, err := http.ParseTime(values[0])
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(until.Sub(now), 0), maxDelta+MaxFresh)
}

const maxDelta = math.MaxInt32 * time.Second

// deltaSeconds reads RFC 9111 §1.2.2: digits only, and what is too large is the
// largest number.
func deltaSeconds(s string) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return maxDelta, true
	}
	return time.Duration(n) * time.Second, true
}
