package elicit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/tool"
)

// Account returns the handle that the person chose for the running call, "" if
// they were not asked. It is no more trusted than the account argument: the
// exchange decides.
func Account(ctx context.Context) string {
	r := from(ctx)
	if r == nil {
		return ""
	}
	if s, _, ok := r.state(ctx); ok && s.Account != "" {
		return s.Account
	}
	answer, ok := r.answer(keyAccount)
	if !ok || answer.Action != mcp.ElicitationResponseActionAccept {
		return ""
	}
	fields, _ := answer.Content.(map[string]any)
	handle, _ := fields[keyAccount].(string)
	return handle
}

// Interaction asks the person about what stands in the way of a call: which
// account, or a page to open. It returns nil if there is nothing to ask, if the
// client cannot, or if it was asked in this round already: accepting to open a
// page is no proof that anything was done there, only the exchange knows.
func Interaction(ctx context.Context, e *tool.Error) error {
	r := from(ctx)
	if r == nil {
		return nil
	}
	switch {
	case len(e.Accounts) > 0 && r.client.Rounds && r.client.Form:
		if _, asked := r.answer(keyAccount); asked {
			return nil
		}
		var choices []map[string]string
		for _, a := range e.Accounts {
			choices = append(choices, map[string]string{"const": a.Handle, "title": a.Label})
		}
		return pause("", keyAccount, mcp.ElicitationParams{
			Mode: mcp.ElicitationModeForm, Message: "Which Google account should be used?",
			RequestedSchema: map[string]any{
				"type": "object", "required": []string{keyAccount},
				"properties": map[string]any{keyAccount: map[string]any{"type": "string", "title": "Google account", "oneOf": choices}},
			},
		})
	case e.Link != "" && r.client.URL && e.Person():
		name, what := keyConnect, " Open this page to connect Google."
		if e.Code == tool.CodeConfirmationRequired {
			name, what = keyApprove, " Open this page to read what it is about, and to allow it or not."
		}
		page := mcp.ElicitationParams{Mode: mcp.ElicitationModeURL, Message: e.Message + what, URL: e.Link, ElicitationID: rand.Text()}
		if !r.client.Rounds {
			return mcp.URLElicitationRequiredError{Elicitations: []mcp.ElicitationParams{page}}
		}
		if _, asked := r.answer(name); asked {
			return nil
		}
		return pause("", name, page)
	}
	return nil
}

// declared is what a client of an older revision said at initialize. It is of the
// client and its person, not of the grant: a step-up makes another one in the middle
// of a session, and the client can do what it could.
type declared struct {
	Tenant  string `json:"t"`
	Subject string `json:"s"`
	Client  string `json:"c"`
	URL     bool   `json:"u"`
}

// declaredFor bounds how long a client is remembered by its session id; after
// that it gets links as text.
const declaredFor = 24 * time.Hour

// SessionID returns a session id for an initialize message of an older client
// that can offer pages, "" for every other message. It is a note to ourselves
// and no session: it opens nothing, and no request needs it.
func (e *Elicitor) SessionID(ctx context.Context, body []byte) string {
	var m struct {
		Method string
		Params struct {
			Capabilities struct {
				Elicitation *mcp.ElicitationCapability
			}
		}
	}
	p := bearer.From(ctx)
	if p == nil || !bytes.Contains(body, []byte("initialize")) || json.Unmarshal(body, &m) != nil || m.Method != "initialize" {
		return ""
	}
	c := m.Params.Capabilities.Elicitation
	if c == nil || c.URL == nil {
		return ""
	}
	sealed, err := e.clients.Seal(declared{p.Tenant, p.Subject, p.ClientID, true}, e.now().Add(declaredFor))
	if err != nil {
		return ""
	}
	return sealed
}

// Older returns what an older client can do, by its session id. Someone else's
// id says nothing.
func (e *Elicitor) Older(ctx context.Context, sessionID string) Client {
	p := bearer.From(ctx)
	d, _, err := e.clients.Open(sessionID)
	if err != nil || p == nil || d != (declared{p.Tenant, p.Subject, p.ClientID, d.URL}) {
		return Client{}
	}
	return Client{URL: d.URL}
}

// Modern returns what a client of 2026-07-28 can do. An empty capability means
// forms (MCP 2025-11-25 and later, elicitation).
func Modern(c *mcp.ClientCapabilities) Client {
	out := Client{Rounds: true}
	if c != nil && c.Elicitation != nil {
		out.URL = c.Elicitation.URL != nil
		out.Form = c.Elicitation.Form != nil || c.Elicitation.URL == nil
	}
	return out
}
