package exchange

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// ApprovalsPath is the path, on the authorization server's internal listener, of the
// person's word about one act of a tool, for clients that cannot ask for it
// (decision 0022). A POST of ApprovalRequest's form with client authentication, as for
// an exchange, answers Approval; errors are those of the exchange.
const ApprovalsPath = "/internal/approvals"

// MaxQuestion bounds a question, in bytes. Its form, where each may become three,
// stays below MaxBodyBytes.
const MaxQuestion = 16 << 10

const digestBytes = 32

// ApprovalRequest asks whether the person whose MCP access token is presented has
// approved one act, and has them asked if not. Asking again is the same request.
type ApprovalRequest struct {
	SubjectToken secret.Text // the MCP access token as the client sent it
	Tool         string      // name of the tool, shown to the person
	Account      string      // that the call will use, as in Request: handle or alias, "" is the account of the grant; shown to the person, and bound
	Digest       string      // of what the word is bound to, 64 lower-case hexadecimal digits: the resource server's to compute, under a key of its own
	Question     string      // all that the person is shown of the act: UTF-8, 1 to MaxQuestion bytes
}

// ApprovalStatus is what has become of a question.
type ApprovalStatus string

const (
	// Approved is answered once: this very answer has used the approval up.
	Approved ApprovalStatus = "approved"
	// Declined is answered once; the next request asks anew.
	Declined ApprovalStatus = "declined"
	// Pending is answered, with a link, until the person has said something.
	Pending ApprovalStatus = "pending"
)

// Approval is the answer. The last two members are those of Pending.
type Approval struct {
	Status         ApprovalStatus `json:"status"`
	InteractionURI string         `json:"interaction_uri,omitempty"` // page of the authorization server for that person alone; carries no token
	ExpiresIn      int64          `json:"expires_in,omitempty"`      // seconds that the page can be answered
}

// Write sends the answer.
func (a *Approval) Write(w http.ResponseWriter) { write(w, http.StatusOK, a) }

// Form encodes the request, without client authentication.
func (r ApprovalRequest) Form() url.Values {
	v := url.Values{
		"subject_token": {r.SubjectToken.Reveal()}, "subject_token_type": {oauth.TokenTypeAccessToken},
		"tool": {r.Tool}, "digest": {r.Digest}, "question": {r.Question},
	}
	if r.Account != "" {
		v.Set("account", r.Account)
	}
	return v
}

// ParseApprovalForm is the server's side of Form, by the rules of ParseForm.
func ParseApprovalForm(f url.Values) (*ApprovalRequest, *Error) {
	if e := once(f); e != nil {
		return nil, e
	}
	r := &ApprovalRequest{SubjectToken: secret.NewText(f.Get("subject_token")), Tool: f.Get("tool"), Account: f.Get("account"), Digest: f.Get("digest"), Question: f.Get("question")}
	switch {
	case f.Get("subject_token") == "" || f.Get("subject_token_type") != oauth.TokenTypeAccessToken:
		return nil, refused(oauth.InvalidRequest, "subject_token must be an access token.")
	case r.Tool == "" || len(r.Tool) > maxWord:
		return nil, refused(oauth.InvalidRequest, fmt.Sprintf("tool must be 1 to %d bytes.", maxWord))
	case len(r.Account) > maxAccount:
		return nil, refused(oauth.InvalidRequest, "account is too long.")
	case !isDigest(r.Digest):
		return nil, refused(oauth.InvalidRequest, "digest must be 64 lower-case hexadecimal digits.")
	case strings.TrimSpace(r.Question) == "" || len(r.Question) > MaxQuestion || !utf8.ValidString(r.Question):
		return nil, refused(oauth.InvalidRequest, fmt.Sprintf("question must be text of 1 to %d bytes.", MaxQuestion))
	}
	return r, nil
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == digestBytes && strings.ToLower(s) == s
}

// Approval asks for the person's word. Errors are as those of Exchange; an answer
// that is not Approved is never read as one.
func (c *Client) Approval(ctx context.Context, r ApprovalRequest) (*Approval, error) {
	endpoint, err := c.beside(ApprovalsPath)
	if err != nil {
		return nil, err
	}
	body, err := c.post(ctx, endpoint, r.Form())
	if err != nil {
		return nil, err
	}
	var out Approval
	if err := json.Unmarshal(body, &out); err != nil {
		return nil, unavailable(errors.New("the authorization server answered 200 without an approval"))
	}
	switch out.Status {
	case Approved, Declined:
		return &Approval{Status: out.Status}, nil
	case Pending:
		if out.InteractionURI != "" && out.ExpiresIn > 0 {
			return &out, nil
		}
	}
	return nil, unavailable(errors.New("the authorization server answered 200 without an approval"))
}
