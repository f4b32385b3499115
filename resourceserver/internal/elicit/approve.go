package elicit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"

	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/credential"
	"latchkey/resourceserver/internal/tool"
)

// Approvals has the person asked on a page that knows who opens it, for clients
// that cannot ask (decision 0022); *exchange.Client is one. Approved is answered
// once for one word of the person, whoever asks at whichever replica. It returns
// *exchange.Error for every refusal and must be safe for concurrent use.
type Approvals interface {
	Approval(ctx context.Context, r exchange.ApprovalRequest) (*exchange.Approval, error)
}

// Using notes which Google account the running call works on, by its handle: what
// the person approves is for that one. Package googleapi does this.
func Using(ctx context.Context, account string) {
	if r := from(ctx); r != nil {
		r.using.Store(&account)
	}
}

// approve is Confirm where the client cannot ask. Nothing of an answer is kept
// here: each call asks anew, and it is the authorization server that uses a word up.
func (r *round) approve(ctx context.Context, s state, a Act) error {
	// To have opened the page is no word; not to want to open it is one.
	if opened, asked := r.answer(keyApprove); asked && opened.Action != mcp.ElicitationResponseActionAccept {
		return declined()
	}
	if len(a.Question) > exchange.MaxQuestion {
		return &tool.Error{Code: tool.CodeConfirmationUnavailable, Message: "This needs the person's confirmation, and what they would have to read is too long to be asked for this app.",
			NextAction: "Make it shorter, or tell the person: they can do it themselves in Google."}
	}
	account := ""
	if using := r.using.Load(); using != nil {
		account = *using
	}
	answer, err := r.elicitor.approvals.Approval(ctx, exchange.ApprovalRequest{
		SubjectToken: bearer.From(ctx).Token, Tool: s.Tool, Account: account, Question: a.Question,
		Digest: r.elicitor.digests.Whole(s.Tenant, s.Subject, s.Grant, s.Tool, s.Args, account, a.Question, a.Binding),
	})
	if err != nil {
		return unasked(ctx, err)
	}
	switch answer.Status {
	case exchange.Approved:
		r.act = rand.Text()
		tool.Confirmed(ctx)
		return nil
	case exchange.Declined:
		return declined()
	case exchange.Pending:
		return &tool.Error{Code: tool.CodeConfirmationRequired, Message: fmt.Sprintf("%s waits for the person's confirmation; nothing was done.", s.Tool), Link: answer.InteractionURI,
			NextAction: "Ask the person to open this page, to read what it asks and to allow it there; when they have, call again with exactly the same arguments:"}
	}
	return fmt.Errorf("an approval that is %q", answer.Status)
}

// unasked says of a call whose person could not be asked that nothing was done.
func unasked(ctx context.Context, err error) error {
	err = credential.ToolError(ctx, err)
	var e *tool.Error
	if errors.As(err, &e) && e.Code == tool.CodeUnavailable {
		e.Message, e.NextAction = "The person cannot be asked for their confirmation right now; nothing was done.", "Try again shortly."
	}
	return err
}
