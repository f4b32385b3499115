package accesstoken

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxJWKSBytes = 64 << 10
	maxKeys      = 32
	// unknownKidPause is the least time between fetches caused by unknown key
	// ids: forged ids cannot make us hammer the authorization server.
	unknownKidPause = 30 * time.Second
	// failurePause is the least time between fetches after one that failed.
	failurePause = 2 * time.Second
	stalePause   = 5 * time.Second
	fetchTimeout = 5 * time.Second
)

// RemoteKeys is a KeySource over an authorization server's jwks_uri. Keys are
// served from memory for Refresh, fetched again in time, and kept when a fetch
// fails: an outage of the authorization server refuses no valid token. While the
// last fetch failed, an unknown key id is doubt and not ErrInvalid, because the
// key may be newer than the set (DESIGN §1.5).
type RemoteKeys struct {
	URL     string
	HTTP    *http.Client     // default http.DefaultClient
	Refresh time.Duration    // age at which the set is fetched again; default 5 min
	Now     func() time.Time // default time.Now

	mu      sync.Mutex
	keys    map[string]jose.JSONWebKey
	fetched time.Time  // last success
	tried   time.Time  // start of the last attempt
	failed  error      // of the last attempt, nil after a success
	flight  *keyFlight // the fetch under way, if any
	unknown uint64     // how often a key id was not in the set
}

type keyFlight struct {
	done chan struct{}
	err  error // set before done is closed
}

func (k *RemoteKeys) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}

// Key implements KeySource.
func (k *RemoteKeys) Key(ctx context.Context, kid string) (jose.JSONWebKey, error) {
	refresh := k.Refresh
	if refresh == 0 {
		refresh = 5 * time.Minute
	}
	k.mu.Lock()
	key, known := k.keys[kid]
	if !known && !k.fetched.IsZero() {
		k.unknown++
	}
	age, pause := k.now().Sub(k.fetched), k.now().Sub(k.tried)
	switch {
	case known && age < refresh:
		k.mu.Unlock()
		return key, nil
	case known:
		// Stale but usable: fetch in the background, at most once a pause.
		if pause >= stalePause {
			k.start()
		}
		k.mu.Unlock()
		return key, nil
	case k.flight != nil: // join it
	case k.failed != nil && pause < failurePause:
		err := k.failed
		k.mu.Unlock()
		return jose.JSONWebKey{}, fmt.Errorf("fetching key set: %w", err)
	case k.failed == nil && !k.fetched.IsZero() && pause < unknownKidPause:
		k.mu.Unlock()
		return jose.JSONWebKey{}, fmt.Errorf("%w: unknown key id", ErrInvalid)
	}
	f := k.start()
	k.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("fetching key set: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[kid]; ok {
		return key, nil
	}
	return jose.JSONWebKey{}, fmt.Errorf("%w: unknown key id", ErrInvalid)
}

// Unknown is how often Key was asked for a key id that a fetched set did not
// have: forged ones, or a rotation that did not publish in time.
func (k *RemoteKeys) Unknown() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unknown
}

// Ready returns nil when tokens can be verified: keys are in memory, or a fetch
// brings them.
func (k *RemoteKeys) Ready(ctx context.Context) error {
	k.mu.Lock()
	if len(k.keys) > 0 {
		k.mu.Unlock()
		return nil
	}
	if k.flight == nil && k.failed != nil && k.now().Sub(k.tried) < failurePause {
		err := k.failed
		k.mu.Unlock()
		return fmt.Errorf("fetching key set: %w", err)
	}
	f := k.start()
	k.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return fmt.Errorf("fetching key set: %w", err)
	}
	return nil
}

func (f *keyFlight) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.done:
		return f.err
	}
}

// start begins a fetch or joins the one under way. k.mu must be held.
func (k *RemoteKeys) start() *keyFlight {
	if k.flight != nil {
		return k.flight
	}
	f := &keyFlight{done: make(chan struct{})}
	k.flight, k.tried = f, k.now()
	go func() {
		keys, err := k.fetch()
		k.mu.Lock()
		if err == nil {
			k.keys, k.fetched = keys, k.now()
		}
		f.err, k.failed, k.flight = err, err, nil
		k.mu.Unlock()
		close(f.done)
	}()
	return f
}

func (k *RemoteKeys) fetch() (map[string]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.URL, nil)
	if err != nil {
		return nil, err
	}
	client := k.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered status %d", k.URL, resp.StatusCode)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxJWKSBytes)).Decode(&set); err != nil {
		return nil, fmt.Errorf("decoding key set: %w", err)
	}
	keys := map[string]jose.JSONWebKey{}
	for _, raw := range set.Keys {
		// RFC 7517 §5: a key of an unknown type is ignored, not the whole set.
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && key.KeyID != "" && key.Valid() && key.IsPublic() && len(keys) < maxKeys {
			keys[key.KeyID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no usable key")
	}
	return keys, nil
}
