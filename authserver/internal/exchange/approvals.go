package exchange

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"latchkey/authserver/internal/approval"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// Asker asks a person about an act of a tool and tells what they said, once.
type Asker interface {
	Ask(ctx context.Context, a approval.Act, question string, person secret.Bytes) (*exchange.Approval, error)
}

// Approvals answers whether the person has approved an act, by the rules of an
// exchange (DESIGN §6): the caller, the token, the tenant, the limits, the grant, the
// account. The answer "approved" uses the approval up.
func (h *Handler) Approvals(w http.ResponseWriter, r *http.Request) {
	out, err := h.approval(w, r)
	if err != nil {
		render(w, r, err)
		return
	}
	out.Write(w)
}

func (h *Handler) approval(w http.ResponseWriter, r *http.Request) (*exchange.Approval, error) {
	ctx := r.Context()
	req, caller, err := requested(h, w, r, exchange.ApprovalsPath, exchange.ParseApprovalForm)
	if err != nil {
		return nil, err
	}
	event := &audit.Event{} // the store writes those of questions
	p, err := h.person(ctx, caller, req.SubjectToken, req.Tool, event, func(t *tenant.Tenant, who *accesstoken.Principal) (oauth.Scopes, error) {
		return admit(ctx, t, who, oauth.Scopes{})
	})
	if err != nil {
		return nil, err
	}
	record, err := h.account(ctx, p, req.Account, req.Tool, scope.Entitled(p.allowed), event)
	if err != nil {
		return nil, err
	}
	act := approval.Act{Ref: record.Ref, ClientID: p.who.ClientID, Tool: req.Tool}
	if act.Grant, err = uuid.Parse(p.who.Grant); err != nil {
		return nil, fail(oauth.InvalidGrant, "The access token is not valid.")
	}
	if act.Digest, err = approval.ParseDigest(req.Digest); err != nil {
		return nil, fail(oauth.InvalidRequest, "digest is malformed.")
	}
	out, err := h.Asker.Ask(ctx, act, req.Question, record.Person)
	if errors.Is(err, approval.ErrOtherQuestion) {
		e := fail(oauth.InvalidRequest, "This digest stands for another question.")
		e.Cause = err
		return nil, e
	}
	if err != nil {
		return nil, unavailable(err)
	}
	httpx.Annotate(ctx, slog.String("approval", string(out.Status)))
	return out, nil
}
