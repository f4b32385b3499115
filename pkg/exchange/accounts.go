package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// AccountsPath is the path, on the authorization server's internal listener, of the
// list of a person's linked Google accounts. A POST of AccountsRequest's form with
// client authentication, as for an exchange, answers Accounts; errors are those of
// the exchange.
const AccountsPath = "/internal/accounts"

// AccountsRequest asks which Google accounts the person has linked whose MCP access
// token is presented.
type AccountsRequest struct {
	SubjectToken secret.Text // the MCP access token as the client sent it
	Tool         string      // for the limits
}

// Accounts are all that are linked, oldest first. None has its address in full: the
// list goes to a program.
type Accounts struct {
	Accounts []Account `json:"accounts"`
}

// Write sends the answer.
func (a *Accounts) Write(w http.ResponseWriter) { write(w, http.StatusOK, a) }

// Form encodes the request, without client authentication.
func (r AccountsRequest) Form() url.Values {
	v := url.Values{"subject_token": {r.SubjectToken.Reveal()}, "subject_token_type": {oauth.TokenTypeAccessToken}}
	if r.Tool != "" {
		v.Set("tool", r.Tool)
	}
	return v
}

// ParseAccountsForm is the server's side of Form, by the rules of ParseForm.
func ParseAccountsForm(f url.Values) (*AccountsRequest, *Error) {
	if e := once(f); e != nil {
		return nil, e
	}
	if f.Get("subject_token") == "" || f.Get("subject_token_type") != oauth.TokenTypeAccessToken {
		return nil, refused(oauth.InvalidRequest, "subject_token must be an access token.")
	}
	if len(f.Get("tool")) > maxWord {
		return nil, refused(oauth.InvalidRequest, "tool is too long.")
	}
	return &AccountsRequest{SubjectToken: secret.NewText(f.Get("subject_token")), Tool: f.Get("tool")}, nil
}

// Accounts lists the linked accounts. Errors are as those of Exchange.
func (c *Client) Accounts(ctx context.Context, r AccountsRequest) ([]Account, error) {
	endpoint, err := c.beside(AccountsPath)
	if err != nil {
		return nil, err
	}
	body, err := c.post(ctx, endpoint, r.Form())
	if err != nil {
		return nil, err
	}
	var out Accounts
	if err := json.Unmarshal(body, &out); err != nil || out.Accounts == nil {
		return nil, unavailable(errors.New("the authorization server answered 200 without a list of accounts"))
	}
	return out.Accounts, nil
}
