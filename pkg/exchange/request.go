package exchange

import (
	"net/url"
	"strconv"
	"time"

	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// MaxMinTTL is the most life that may be asked for.
const MaxMinTTL = 30 * time.Minute

const (
	maxWord    = 64  // bytes of tool and request_id
	maxAccount = 160 // bytes of account: a handle, or an alias of 40 characters
)

// Request asks for one Google access token on behalf of the person whose MCP
// access token is presented.
type Request struct {
	SubjectToken secret.Text   // the MCP access token as the client sent it
	Scopes       oauth.Scopes  // least Google scopes for the call
	Account      string        // account handle; "" is the default account
	MinTTL       time.Duration // life the returned token must still have, whole seconds up to MaxMinTTL
	ForceRefresh bool          // Google refused the token of GrantVersion
	GrantVersion int64         // of the refused token; 0: whatever is stored
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
		if r.GrantVersion > 0 {
			v.Set("grant_version", strconv.FormatInt(r.GrantVersion, 10))
		}
	}
	return v
}

// ParseForm is the server's side of Form: it returns the request, or the error to
// answer with. Parameters that it does not know are ignored (RFC 6749 §3.2), one
// that is given twice is refused.
func ParseForm(f url.Values) (*Request, *Error) {
	if e := once(f); e != nil {
		return nil, e
	}
	switch {
	case f.Get("grant_type") != string(oauth.GrantTokenExchange):
		return nil, refused(oauth.UnsupportedGrantType, "The only grant type here is token exchange.")
	case f.Get("subject_token") == "" || f.Get("subject_token_type") != oauth.TokenTypeAccessToken:
		return nil, refused(oauth.InvalidRequest, "subject_token must be an access token.")
	case f.Has("requested_token_type") && f.Get("requested_token_type") != oauth.TokenTypeAccessToken:
		return nil, refused(oauth.InvalidRequest, "requested_token_type must be an access token.")
	case f.Get("resource") != GoogleAPIs:
		return nil, refused(oauth.InvalidTarget, "resource must be "+GoogleAPIs+".")
	}
	scopes, err := oauth.ParseScopes(f.Get("scope"))
	if err != nil {
		return nil, refused(oauth.InvalidScope, "scope is malformed or too long.")
	}
	out := &Request{
		SubjectToken: secret.NewText(f.Get("subject_token")), Scopes: scopes, Account: f.Get("account"),
		ForceRefresh: f.Get("force_refresh") == "true", Tool: f.Get("tool"), RequestID: f.Get("request_id"),
	}
	if v := f.Get("min_ttl"); v != "" {
		seconds, err := strconv.Atoi(v)
		if err != nil || seconds < 0 || seconds > int(MaxMinTTL/time.Second) {
			return nil, refused(oauth.InvalidRequest, "min_ttl must be a number of seconds from 0 to 1800.")
		}
		out.MinTTL = time.Duration(seconds) * time.Second
	}
	if v := f.Get("grant_version"); v != "" {
		if out.GrantVersion, err = strconv.ParseInt(v, 10, 64); err != nil || out.GrantVersion < 0 {
			return nil, refused(oauth.InvalidRequest, "grant_version must be that of an earlier answer.")
		}
	}
	if len(out.Account) > maxAccount || len(out.Tool) > maxWord || len(out.RequestID) > maxWord {
		return nil, refused(oauth.InvalidRequest, "account, tool or request_id is too long.")
	}
	return out, nil
}

// once refuses a parameter that is given twice.
func once(f url.Values) *Error {
	for _, values := range f {
		if len(values) > 1 {
			return refused(oauth.InvalidRequest, "A parameter is given more than once.")
		}
	}
	return nil
}

func refused(code oauth.Code, description string) *Error {
	return &Error{Code: code, Description: description}
}
