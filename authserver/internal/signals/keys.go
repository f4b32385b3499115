package signals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
)

const (
	configPath     = ".well-known/risc-configuration" // below the issuer, which ends in a slash
	maxConfigBytes = 64 << 10
	fetchTimeout   = 5 * time.Second

	configFresh  = 24 * time.Hour
	failurePause = 2 * time.Second // after a failure, with nothing to go on with
	stalePause   = 5 * time.Minute // after a failure, with what was read before
)

// Keys are Google's signing keys. Where they are is read once a day from
// Google's RISC configuration below Issuer, unless JWKSURL says it; the keys
// themselves are cached and fetched at bounded rates by accesstoken.RemoteKeys.
// What was read stays in use while Google is away. It implements KeySource, and
// is safe for concurrent use.
type Keys struct {
	Issuer  string
	JWKSURL string           // "": as the configuration says
	HTTP    *http.Client     // default: five seconds, no redirects
	Now     func() time.Time // default time.Now

	flight singleflight.Group

	mu     sync.Mutex
	remote *accesstoken.RemoteKeys // nil before the first success
	next   time.Time               // when to read the configuration again
	err    error                   // of the last attempt, if there is nothing to go on with
}

var defaultHTTP = &http.Client{
	Timeout: fetchTimeout,
	// A machine endpoint that redirects is not the one that was configured.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Key implements KeySource.
func (k *Keys) Key(ctx context.Context, kid string) (jose.JSONWebKey, error) {
	remote, err := k.source(ctx)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	return remote.Key(ctx, kid)
}

// source is the key set, wherever it is now. One goroutine reads the
// configuration for all, and outlives any caller that gives up.
func (k *Keys) source(ctx context.Context) (*accesstoken.RemoteKeys, error) {
	if remote, known, err := k.known(); known {
		return remote, err
	}
	result := k.flight.DoChan("", func() (any, error) {
		if remote, known, err := k.known(); known { // a flight has just landed
			return remote, err
		}
		return k.locate()
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-result:
		if got.Err != nil {
			return nil, got.Err
		}
		return got.Val.(*accesstoken.RemoteKeys), nil
	}
}

// known is what the last attempt gave, as long as it counts.
func (k *Keys) known() (remote *accesstoken.RemoteKeys, known bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.now().Before(k.next) {
		return nil, false, nil
	}
	return k.remote, true, k.err
}

func (k *Keys) locate() (*accesstoken.RemoteKeys, error) {
	at, err := k.JWKSURL, error(nil)
	if at == "" {
		at, err = k.configuration()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		if k.remote == nil || k.remote.URL != at {
			k.remote = &accesstoken.RemoteKeys{URL: at, HTTP: k.client(), Now: k.Now}
		}
		k.next, k.err = k.now().Add(configFresh), nil
	case k.remote != nil:
		k.next = k.now().Add(stalePause)
	default:
		k.next, k.err = k.now().Add(failurePause), err
		return nil, err
	}
	return k.remote, nil
}

// configuration reads jwks_uri from the RISC configuration of exactly this
// issuer.
func (k *Keys) configuration() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.Issuer+configPath, nil)
	if err != nil {
		return "", fmt.Errorf("building request for the risc configuration: %w", err)
	}
	resp, err := k.client().Do(req)
	if err != nil {
		return "", fmt.Errorf("reading the risc configuration: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("reading the risc configuration: status %d", resp.StatusCode)
	}
	var c struct {
		Issuer  string `json:"issuer"`
		JWKSURL string `json:"jwks_uri"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxConfigBytes)).Decode(&c); err != nil {
		return "", fmt.Errorf("reading the risc configuration: %w", err)
	}
	u, err := url.Parse(c.JWKSURL)
	switch {
	case c.Issuer != k.Issuer:
		return "", errors.New("the risc configuration is another issuer's")
	case err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && (u.Scheme != "http" || !oauth.LoopbackHost(u.Hostname()))):
		return "", errors.New("the risc configuration has no usable jwks_uri")
	}
	return c.JWKSURL, nil
}

func (k *Keys) client() *http.Client {
	if k.HTTP != nil {
		return k.HTTP
	}
	return defaultHTTP
}

func (k *Keys) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}
