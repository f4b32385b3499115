package exchange

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"latchkey/pkg/oauth"
)

// GoogleAPIs is the resource parameter: whom the token is for.
const GoogleAPIs = "https://www.googleapis.com/"

// Path of the endpoint on the authorization server's internal listener.
const Path = "/internal/exchange"

// MaxBodyBytes bounds a request and a response.
const MaxBodyBytes = 64 << 10

// Timeout bounds one exchange at the resource server. It is longer than the
// authorization server takes at most: another replica's dead refresh has to end
// before it asks Google itself.
const Timeout = 25 * time.Second

// Response is the success body. It never carries a refresh token.
type Response struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	Scope           string `json:"scope"`
	Account         string `json:"account"`       // handle of the account used
	AccountEmail    string `json:"account_email"` // shown to the person in tool results, never logged
	GrantVersion    int64  `json:"grant_version"` // grows whenever older cached tokens must go
	CacheTTL        int64  `json:"cache_ttl"`     // seconds the resource server may keep it

	Warning *Warning `json:"warning,omitempty"`
}

// WarningCode says what a Warning is about. A resource server shows none that it
// does not know.
type WarningCode string

// TestingEnds: Google ends the connection because the OAuth client is in testing
// mode.
const TestingEnds WarningCode = "testing_ends"

// Warning is what the person should know although the exchange has succeeded.
type Warning struct {
	Code   WarningCode `json:"code"`
	EndsIn int64       `json:"ends_in"` // seconds until the connection ends, 0 when it may end at any moment
}

// Write sends the answer.
func (r *Response) Write(w http.ResponseWriter) { write(w, http.StatusOK, r) }

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// Reason is the error_code of an interaction_required error.
type Reason string

const (
	NotLinked           Reason = "not_linked"
	ReauthRequired      Reason = "reauth_required"
	MissingGoogleScopes Reason = "missing_google_scopes"
	TestingExpired      Reason = "testing_expired"
	AdminPolicyBlocked  Reason = "admin_policy_blocked"
)

// AccountSelectionRequired is the error code when several accounts are linked
// and none is the default.
const AccountSelectionRequired oauth.Code = "account_selection_required"

// Account is one choice of an account_selection_required error, or one of the list
// of AccountsPath, where the last two members say more of it.
type Account struct {
	Handle      string `json:"handle"`
	Alias       string `json:"alias,omitempty"`
	MaskedEmail string `json:"masked_email,omitempty"`
	Chosen      bool   `json:"chosen,omitempty"` // when the app was allowed: used where none is named
	Ended       bool   `json:"ended,omitempty"`  // the person has to connect it again
}

// Error is an error body with the members of DESIGN §6. Status is the HTTP
// status and not part of the body.
type Error struct {
	Code           oauth.Code `json:"error"`
	Description    string     `json:"error_description,omitempty"`
	Reason         Reason     `json:"error_code,omitempty"`
	InteractionURI string     `json:"interaction_uri,omitempty"` // one-time, 10 min, carries no token
	MissingScopes  []string   `json:"missing_scopes,omitempty"`
	Scope          string     `json:"scope,omitempty"` // MCP scopes of insufficient_scope
	Account        string     `json:"account,omitempty"`
	Accounts       []Account  `json:"accounts,omitempty"`
	RetryAfter     int        `json:"retry_after,omitempty"` // seconds
	Status         int        `json:"-"`
	Cause          error      `json:"-"` // for the log only
}

// Write sends the error with its status, or the one that RFC 6749 §5.2 gives its
// code.
func (e *Error) Write(w http.ResponseWriter) {
	status := e.Status
	if status == 0 {
		status = (&oauth.Error{Code: e.Code}).HTTPStatus()
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	write(w, status, e)
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s", e.Code, e.Description)
	if e.Reason != "" {
		s = fmt.Sprintf("%s (%s): %s", e.Code, e.Reason, e.Description)
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }
