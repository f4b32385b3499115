package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// OutcomesPath of the audit trail's intake on the authorization server's
// internal listener. A POST of Outcomes as JSON with a client assertion as
// bearer token answers 204.
const OutcomesPath = "/internal/audit"

const (
	// MaxOutcomes is the most that one report holds.
	MaxOutcomes = 100
	// MaxOutcomesBytes bounds its body.
	MaxOutcomesBytes = 64 << 10
)

// Outcomes is a report of tool calls, for the audit trail.
type Outcomes struct {
	Outcomes []Outcome `json:"outcomes"`
}

// Outcome is how one tool call ended. It has no arguments, no result and no
// text: names and classes only.
type Outcome struct {
	Tenant     string `json:"tenant"`               // the token's tid claim
	Grant      string `json:"grant"`                // the token's gid claim
	Tool       string `json:"tool"`                 // a to z, 0 to 9, _; at most 64 characters
	Outcome    string `json:"outcome"`              // ok or an error code: a to z and _; at most 40 characters
	DurationMS int32  `json:"duration_ms"`          // at least 0
	RequestID  string `json:"request_id,omitempty"` // of the resource server's request; at most 64 characters
}

// ErrOutcomesRefused says that a report will never be taken: it is malformed.
var ErrOutcomesRefused = errors.New("the authorization server refuses the report")

// ReportOutcomes sends at most MaxOutcomes outcomes. After an error they may
// have been recorded or not; ErrOutcomesRefused means that they were not and
// will not be.
func (c *Client) ReportOutcomes(ctx context.Context, list []Outcome) error {
	endpoint, err := c.beside(OutcomesPath)
	if err != nil {
		return err
	}
	assertion, err := c.assertion(endpoint)
	if err != nil {
		return fmt.Errorf("signing client assertion: %w", err)
	}
	body, err := json.Marshal(Outcomes{list})
	if err != nil {
		return fmt.Errorf("encoding outcomes: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("building request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+assertion)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("reporting outcomes: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return fmt.Errorf("reporting outcomes: %w: status %d", ErrOutcomesRefused, resp.StatusCode)
	default:
		return fmt.Errorf("reporting outcomes: answered status %d", resp.StatusCode)
	}
}
