package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// RevocationsPath is the feed's path on the authorization server's internal
// listener. A GET with the parameter since (Unix time in milliseconds) and a
// client assertion as bearer token answers Revocations.
const RevocationsPath = "/internal/revocations"

// MaxRevocations and MaxEpochs are the most that one answer lists of each.
const (
	MaxRevocations = 10_000
	MaxEpochs      = 1000
)

const maxRevocationsBytes = 4 << 20 // a client id may be a URL of 2048 bytes

// Revocations are grants that were revoked since a time. Entries may come more
// than once: a resource server keeps a set.
type Revocations struct {
	Grants []string `json:"grants"` // ids, as in the gid claim
	Epochs []Epoch  `json:"epochs,omitempty"`
	Next   int64    `json:"next"` // since of the next request, Unix time in milliseconds
	More   bool     `json:"more"` // ask again at once
}

// Epoch says that what was granted up to a time is revoked: everything, or what is
// of one tenant, and in it of one person, or one client, or both. It stands for any
// number of grants, which are not listed then.
type Epoch struct {
	Tenant  string `json:"tenant,omitempty"`  // "": every tenant
	Subject string `json:"subject,omitempty"` // "": everybody
	Client  string `json:"client,omitempty"`  // "": every client
	Before  int64  `json:"before"`            // gat up to and including it, Unix time in microseconds
}

// Revocations asks for the grants revoked since a time. Every error is doubt:
// the feed says nothing then.
func (c *Client) Revocations(ctx context.Context, since time.Time) (*Revocations, error) {
	query := url.Values{"since": {strconv.FormatInt(since.UnixMilli(), 10)}}
	resp, err := c.get(ctx, RevocationsPath, "?"+query.Encode(), "")
	if err != nil {
		return nil, fmt.Errorf("asking for revocations: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking for revocations: answered status %d", resp.StatusCode)
	}
	var out Revocations
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxRevocationsBytes)).Decode(&out); err != nil || out.Next <= 0 {
		return nil, errors.New("asking for revocations: the answer is not a list of revocations")
	}
	return &out, nil
}
