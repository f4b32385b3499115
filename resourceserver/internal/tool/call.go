package tool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"latchkey/pkg/httpx"
	"latchkey/pkg/scope"
	"latchkey/resourceserver/internal/bearer"
)

// MaxDuration bounds one call. It is shorter than the listener's write timeout,
// so that a call that takes too long is still answered.
const MaxDuration = 60 * time.Second

type currentKey struct{}

// running is the call in a context.
type running struct {
	tool *Tool
	in   any // the arguments as the handler gets them; nil until they are read

	confirmed atomic.Bool
}

// Confirmed notes that the running call may act: the person has confirmed it, or
// it needs no confirmation. Only package elicit does this.
func Confirmed(ctx context.Context) {
	if r, _ := ctx.Value(currentKey{}).(*running); r != nil {
		r.confirmed.Store(true)
	}
}

// MayAct reports whether the running call may change something at Google: a tool
// that asks has to have been answered.
func MayAct(ctx context.Context) bool {
	r, _ := ctx.Value(currentKey{}).(*running)
	return r != nil && (!r.tool.Asks || r.confirmed.Load())
}

// Current returns the tool that is running, nil outside a call. The credential
// for a call is asked for with this tool's Google scopes and no others.
func Current(ctx context.Context) *Tool {
	r, _ := ctx.Value(currentKey{}).(*running)
	if r == nil {
		return nil
	}
	return r.tool
}

// Digest identifies the arguments of the running call, false outside one. It is
// taken of the value that the handler works with: of the JSON, two texts could
// be equal to one reader and differ for another.
func Digest(ctx context.Context) (string, bool) {
	r, _ := ctx.Value(currentKey{}).(*running)
	if r == nil || r.in == nil {
		return "", false
	}
	b, err := json.Marshal(r.in)
	if err != nil {
		return "", false
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), true
}

// Call runs the tool for the principal of ctx. What goes wrong becomes a typed
// error result, and the error itself beside it; a question to the person is a
// result without error.
func (t *Tool) Call(ctx context.Context, arguments json.RawMessage) (*mcp.CallToolResult, *Error) {
	value, text, err := t.safely(ctx, arguments)
	var encoded json.RawMessage // here, because the library would send nothing at all where this fails
	if err == nil {
		encoded, err = json.Marshal(value)
	}
	if err == nil {
		annotate(ctx, t.Name, "ok")
		out := &mcp.CallToolResult{Content: []mcp.Content{mcp.NewTextContent(text)}, StructuredContent: encoded}
		if l, ok := value.(interface {
			Link() (uri, name, mediaType string)
		}); ok {
			if uri, name, mediaType := l.Link(); uri != "" {
				out.Content = append(out.Content, mcp.NewResourceLink(uri, name, "", mediaType))
			}
		}
		return out, nil
	}
	var e *Error
	var waiting *Pause
	switch {
	case errors.As(err, &waiting):
		annotate(ctx, t.Name, "input_required")
		return waiting.Result, nil
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded):
		e = &Error{Code: CodeTimeout, Message: "This took too long.", Retryable: true, NextAction: "Try again or ask for less at once.", Cause: err}
	case errors.Is(err, context.Canceled):
		e = &Error{Code: CodeUnavailable, Message: "The call was cancelled.", Retryable: true, Cause: err}
	default:
		e = &Error{Code: CodeInternal, Message: "Something went wrong in the server (request " + httpx.RequestID(ctx) + ").", Cause: err}
	}
	annotate(ctx, t.Name, string(e.Code))
	if !e.Code.expected() {
		httpx.Failed(ctx, fmt.Errorf("calling %s: %w", t.Name, err))
	}
	return ErrorResult(e), e
}

// expected tells what people and models do from what fails.
func (c Code) expected() bool {
	switch c {
	case CodeInvalidArgument, CodeNotFound, CodeConflict, CodeDeclined, CodeConfirmationRequired, CodeConfirmationUnavailable, CodePolicy:
		return true
	}
	return false
}

// ErrorResult is the result for a typed error.
func ErrorResult(e *Error) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{mcp.NewTextContent(e.text())}, StructuredContent: e.body(), IsError: true}
}

// OutcomeOf is ok, the code of the error, or input_required for a call that
// waits for its person, of what Call returned.
func OutcomeOf(r *mcp.CallToolResult, failure *Error) string {
	switch {
	case failure != nil:
		return string(failure.Code)
	case r.ResultType == mcp.ResultTypeInputRequired:
		return string(mcp.ResultTypeInputRequired)
	}
	return "ok"
}

func annotate(ctx context.Context, name, outcome string) {
	httpx.Annotate(ctx, slog.String("tool", name), slog.String("outcome", outcome))
}

func (t *Tool) safely(ctx context.Context, arguments json.RawMessage) (value any, text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			// A panic's value may quote content; its place says enough.
			err = fmt.Errorf("panic of type %T at:\n%s", p, debug.Stack())
		}
	}()
	ctx, err = t.Enter(ctx)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, MaxDuration)
	defer cancel()
	return t.run(ctx, arguments)
}

// Enter makes the tool the running one, for the principal of ctx, if that may
// use it. It serves Call, and what a tool promised for later: a download.
func (t *Tool) Enter(ctx context.Context) (context.Context, error) {
	p := bearer.From(ctx)
	if p == nil {
		return nil, errors.New("no principal: the guard is not in front of this tool")
	}
	// Second of two checks; the guard's decides on the HTTP level. This one is
	// about the tool that really runs.
	if !scope.Satisfies(p.Scopes, t.Scopes) {
		bearer.Refuse(ctx, bearer.InsufficientScope(t.Scopes))
		return nil, &Error{Code: CodeInsufficientScope, Message: "The app was not given the access this tool needs: " + t.Scopes.String() + ".", NextAction: "Allow it in the app and call again."}
	}
	return context.WithValue(ctx, currentKey{}, &running{tool: t}), nil
}

// MCP is the tool as the protocol library knows it.
func (t *Tool) MCP() mcp.Tool {
	m := mcp.NewToolWithRawSchema(t.Name, t.Description.Description, t.input.published)
	m.Title, m.RawOutputSchema = t.Title, t.output
	m.Annotations = mcp.ToolAnnotation{
		ReadOnlyHint: &t.Hints.ReadOnly, DestructiveHint: &t.Hints.Destructive,
		IdempotentHint: &t.Hints.Idempotent, OpenWorldHint: &t.Hints.OpenWorld,
	}
	return m
}
