package signedlink

import (
	"context"
	"errors"
	"net/url"
	"time"

	"latchkey/pkg/secret"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/tool"
)

// Lifetime is the most a link lives; it ends with its access token before that.
const Lifetime = 15 * time.Minute

// sealed is what a link holds.
type sealed[T any] struct {
	Token    string `json:"k"` // the MCP access token
	Resource string `json:"r"` // its audience
	Tool     string `json:"t"` // which tool made it and serves it
	Account  string `json:"a"` // handle of the account
	Target   T      `json:"f"` // what it leads to, in the tool's own terms
}

// Links makes links of one kind. It is safe for concurrent use.
type Links[T any] struct {
	box  *seal.Box[sealed[T]]
	path string
	now  func() time.Time
}

// New derives the key of a kind of links, named by purpose, that lead to a path of
// the origin of the resource that made them; now may be nil.
func New[T any](k *seal.Keys, purpose, path string, now func() time.Time) (*Links[T], error) {
	if k == nil || path == "" {
		return nil, errors.New("links need keys and a path")
	}
	if now == nil {
		now = time.Now
	}
	box, err := seal.NewBox[sealed[T]](k, purpose, now)
	if err != nil {
		return nil, err
	}
	return &Links[T]{box, path, now}, nil
}

// Make returns a link to a target in an account, for the person of the running
// call, and its end.
func (l *Links[T]) Make(ctx context.Context, account string, target T) (string, time.Time, error) {
	p, t := bearer.From(ctx), tool.Current(ctx)
	if p == nil || t == nil {
		return "", time.Time{}, errors.New("making a link outside a tool call")
	}
	until := l.now().Add(Lifetime)
	if p.Expires.Before(until) {
		until = p.Expires
	}
	value, err := l.box.Seal(sealed[T]{p.Token.Reveal(), p.Resource.String(), t.Name, account, target}, until)
	if err != nil {
		return "", time.Time{}, err
	}
	return p.Resource.Origin() + l.path + "?" + url.Values{"link": {value}}.Encode(), until, nil
}

// Presented is a link whose seal was whole. Only this package makes one.
type Presented struct {
	resource string
	token    secret.Text
}

// Resource is the audience of the link's token.
func (p Presented) Resource() string { return p.resource }

// Redeem authenticates the link's token with the guard of its resource.
func (p Presented) Redeem(ctx context.Context, g *bearer.Guard) (context.Context, *bearer.Refusal) {
	return g.Redeem(ctx, p.token)
}

func (l sealed[T]) token() secret.Text { return secret.NewText(l.Token) }
