package exchange

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// GoogleAPIs is the resource parameter: whom the token is for.
const GoogleAPIs = "https://www.googleapis.com/"

// Path of the endpoint on the authorization server's internal listener.
const Path = "/internal/exchange"

// MaxBodyBytes bounds a request and a response.
const MaxBodyBytes = 64 << 10

// Request asks for one Google access token on behalf of the person whose MCP
// access token is presented.
type Request struct {
	SubjectToken secret.Text   // the MCP access token as the client sent it
	Scopes       oauth.Scopes  // least Google scopes for the call
	Account      string        // account handle; "" is the default account
	MinTTL       time.Duration // life the returned token must still have
	ForceRefresh bool          // once, after Google refused the last token
	Tool         string        // for the audit
	RequestID    string        // for the audit
}

// Form encodes the request, without client authentication.
func (r Request) Form() url.Values {
	v := url.Values{
		"grant_type":           {string(oauth.GrantTokenExchange)},
		"subject_token":        {r.SubjectToken.Reveal()},
		"subject_token_type":   {oauth.TokenTypeAccessToken},
		"requested_token_type": {oauth.TokenTypeAccessToken},
		"resource":             {GoogleAPIs},
		"scope":                {r.Scopes.String()},
	}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("account", r.Account)
	set("tool", r.Tool)
	set("request_id", r.RequestID)
	if r.MinTTL > 0 {
		v.Set("min_ttl", strconv.Itoa(int(r.MinTTL/time.Second)))
	}
	if r.ForceRefresh {
		v.Set("force_refresh", "true")
	}
	return v
}

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

// Account is one choice of an account_selection_required error.
type Account struct {
	Handle      string `json:"handle"`
	Alias       string `json:"alias,omitempty"`
	MaskedEmail string `json:"masked_email,omitempty"`
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
