package elicit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/tool"
)

// Lifetime is how long a person may think about a confirmation.
const Lifetime = 5 * time.Minute

const (
	keyConfirm = "confirm"
	keyAccount = "account"
	keyConnect = "connect"
	keyApprove = "approve"
)

// Client is what the client of a call can ask its person.
type Client struct {
	Rounds bool // it repeats a call with answers (MCP 2026-07-28)
	Form   bool // it shows a question with fields
	URL    bool // it offers a page
}

// state is what comes back with an answer.
type state struct {
	Tenant  string `json:"t"`
	Subject string `json:"s"`
	Grant   string `json:"g"`
	Tool    string `json:"n"`
	Args    string `json:"a"` // digest of the arguments as the tool read them
	Act     string `json:"c"` // digest of what the person was shown
	ID      string `json:"i"` // for single use
	Account string `json:"h,omitempty"`
}

// Elicitor owns the sealed state. It is safe for concurrent use.
type Elicitor struct {
	states    *seal.Box[state]
	clients   *seal.Box[declared]
	approvals Approvals
	digests   *seal.Names
	now       func() time.Time
	used      spent
}

// New derives the keys; now may be nil.
func New(k *seal.Keys, p Approvals, now func() time.Time) (*Elicitor, error) {
	if k == nil || p == nil {
		return nil, errors.New("elicitation needs keys and approvals")
	}
	if now == nil {
		now = time.Now
	}
	states, err := seal.NewBox[state](k, "request state", now)
	if err != nil {
		return nil, err
	}
	clients, err := seal.NewBox[declared](k, "client capabilities", now)
	if err != nil {
		return nil, err
	}
	digests, err := seal.NewNames(k, "approvals")
	if err != nil {
		return nil, err
	}
	return &Elicitor{states: states, clients: clients, approvals: p, digests: digests, now: now}, nil
}

// round is one request of a call: what the client can ask, what it answered.
type round struct {
	elicitor  *Elicitor
	client    Client
	responses mcp.InputResponses
	sealed    string
	act       string // id of the confirmation, once it was given

	using atomic.Pointer[string] // handle of the account
}

type roundKey struct{}

// Begin puts the answers of a request into its context.
func (e *Elicitor) Begin(ctx context.Context, c Client, answers mcp.MultiRoundTripParams) context.Context {
	return context.WithValue(ctx, roundKey{}, &round{elicitor: e, client: c, responses: answers.InputResponses, sealed: answers.RequestState})
}

func from(ctx context.Context) *round {
	r, _ := ctx.Value(roundKey{}).(*round)
	return r
}

// answer returns what the person answered to a question.
func (r *round) answer(name string) (*mcp.ElicitationResult, bool) {
	response, ok := r.responses[name]
	if !ok {
		return nil, false
	}
	if err := response.DecodeFor(mcp.MethodElicitationCreate); err != nil || response.Elicitation == nil {
		return &mcp.ElicitationResult{ElicitationResponse: mcp.ElicitationResponse{Action: mcp.ElicitationResponseActionCancel}}, true
	}
	return response.Elicitation, true
}

// state returns the state if it was made for this very call of this person.
func (r *round) state(ctx context.Context) (state, time.Time, bool) {
	want, ok := describe(ctx)
	if !ok || r.sealed == "" {
		return state{}, time.Time{}, false
	}
	s, until, err := r.elicitor.states.Open(r.sealed)
	if err != nil {
		return state{}, time.Time{}, false
	}
	want.Act, want.ID, want.Account = s.Act, s.ID, s.Account
	return s, until, s == want
}

// describe names the running call and its person.
func describe(ctx context.Context) (state, bool) {
	p, t := bearer.From(ctx), tool.Current(ctx)
	digest, ok := tool.Digest(ctx)
	if p == nil || t == nil || !ok {
		return state{}, false
	}
	return state{Tenant: p.Tenant, Subject: p.Subject, Grant: p.Grant, Tool: t.Name, Args: digest}, true
}

// Act is what a tool is about to do in the person's name.
type Act struct {
	// Question is all that the person is shown; what matters comes first. Text
	// of others in it went through package content.
	Question string
	// Binding is what must not change while the person thinks, beyond the
	// arguments and the question.
	Binding string
}

func (a Act) digest() string {
	sum := sha256.Sum256([]byte(a.Question + "\x00" + a.Binding))
	return hex.EncodeToString(sum[:])
}

// Confirm returns nil when the person has confirmed exactly this act, once. Else
// the tool returns its error: a question to the person (*tool.Pause), or a
// *tool.Error with CodeDeclined, CodeConfirmationInvalid, or, if the client cannot
// ask, CodeConfirmationRequired with the page that does, and
// CodeConfirmationUnavailable where not even that can. The act must not have begun.
func Confirm(ctx context.Context, a Act) error {
	r := from(ctx)
	s, ok := describe(ctx)
	if r == nil || !ok {
		return errors.New("confirming outside a tool call")
	}
	if !tool.Current(ctx).Asks {
		return errors.New("a tool confirms whose description does not say so")
	}
	answer, answered := r.answer(keyConfirm)
	if !policy.From(ctx).MayAskByClient() || !answered && (!r.client.Rounds || !r.client.Form) {
		return r.approve(ctx, s, a)
	}
	if !answered {
		s.Act, s.ID, s.Account = a.digest(), rand.Text(), Account(ctx)
		sealed, err := r.elicitor.states.Seal(s, r.elicitor.now().Add(Lifetime))
		if err != nil {
			return err
		}
		return pause(sealed, keyConfirm, mcp.ElicitationParams{
			Mode: mcp.ElicitationModeForm, Message: a.Question,
			RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{}},
		})
	}
	given, until, ok := r.state(ctx)
	if !ok || given.Act != a.digest() {
		return invalid("The confirmation has ended or belongs to something else; nothing was done.")
	}
	if answer.Action != mcp.ElicitationResponseActionAccept {
		return declined()
	}
	if !r.elicitor.used.first(given.ID, until, r.elicitor.now()) {
		return invalid("The confirmation was used already; nothing more was done.")
	}
	r.act = given.ID
	tool.Confirmed(ctx)
	return nil
}

// ActID names what the running call is about to do: the same at every replica for
// one confirmation, and for a call that needs none its own. A product that gives
// it to Google as the key of what it creates creates it once.
func ActID(ctx context.Context) string {
	if r := from(ctx); r != nil && r.act != "" {
		return r.act
	}
	return rand.Text()
}

// Waive says that this call of a tool that asks needs no confirmation: it reaches
// nobody and can be undone, as an event without guests. It is for a product that
// can tell by the arguments; never because the client cannot ask.
func Waive(ctx context.Context) { tool.Confirmed(ctx) }

func declined() *tool.Error {
	return &tool.Error{Code: tool.CodeDeclined, Message: "The person did not confirm; nothing was done.", NextAction: "Do not try again unless the person asks for it."}
}

func invalid(message string) *tool.Error {
	return &tool.Error{Code: tool.CodeConfirmationInvalid, Message: message, NextAction: "If it is still wanted, call again and let the person confirm anew."}
}

func pause(sealed, name string, question mcp.ElicitationParams) *tool.Pause {
	return &tool.Pause{Result: &mcp.CallToolResult{
		Result: mcp.Result{ResultType: mcp.ResultTypeInputRequired},
		MultiRoundTripResult: mcp.MultiRoundTripResult{
			InputRequests: mcp.InputRequests{name: mcp.NewElicitationInputRequest(question)}, RequestState: sealed,
		},
	}}
}
