package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
)

const (
	// cursorLife is how long the next page can be asked for.
	cursorLife = time.Hour
	maxCursor  = 2 << 10
)

// position is what a cursor holds.
type position struct {
	After string `json:"a"` // the last entry of the page before
	End   int64  `json:"e"` // seconds since 1970
}

// place binds a cursor to who asks, for what of which tenant, with which filters:
// it is good for the next page of that and for nothing else. It is sealed under
// the default tenant's data key, which no tenant's suspension takes away.
func (c *call) place(q url.Values) vault.Binding {
	filters := maps.Clone(q)
	filters.Del("cursor")
	filters.Del("limit")
	b, err := json.Marshal([]string{c.who.ID, c.route.Method, c.route.Path, c.tenant.String(), filters.Encode()})
	if err != nil { // strings only: cannot happen
		panic(err)
	}
	sum := sha256.Sum256(b)
	return vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.Cursor, Context: hex.EncodeToString(sum[:])}
}

func (a *API) seal(c *call, q url.Values, after string) (string, error) {
	b, err := json.Marshal(position{after, a.Now().Add(cursorLife).Unix()})
	if err != nil {
		return "", fmt.Errorf("encoding cursor: %w", err)
	}
	sealed, err := a.Vault.Seal(c.ctx(), c.place(q), b)
	if err != nil {
		return "", fmt.Errorf("sealing cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// open reads a cursor. One that was changed, is old, or belongs to another
// listing, filter or administrator is refused alike.
func (a *API) open(c *call, q url.Values) (string, error) {
	refused := func(cause error) (string, error) {
		return "", bad("The cursor is not of this list, or too old. Begin with the first page.", cause)
	}
	text := q.Get("cursor")
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(text) > maxCursor {
		return refused(errors.New("not base64url"))
	}
	plain, err := a.Vault.Open(c.ctx(), c.place(q), sealed)
	switch {
	case errors.Is(err, vault.ErrRefused):
		return refused(err)
	case err != nil:
		return "", oauth.Unavailable(err)
	}
	var p position
	if err := json.Unmarshal(plain, &p); err != nil {
		return refused(err)
	}
	if a.Now().Unix() >= p.End {
		return refused(errors.New("too old"))
	}
	return p.After, nil
}
