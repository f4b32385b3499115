package account

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/credential"
	"latchkey/resourceserver/internal/tool"
)

// maxListed is how many accounts are shown.
const maxListed = 50

// Lister knows which Google accounts a person has linked; *exchange.Client is one.
// It returns *exchange.Error for every refusal.
type Lister interface {
	Accounts(ctx context.Context, r exchange.AccountsRequest) ([]exchange.Account, error)
}

type listInput struct{}

type listOutput struct {
	Linked []linked `json:"linked"`
	More   bool     `json:"more,omitempty"`
}

// linked is an account without its address in full: an app that was allowed one of
// them learns no more of the others than the person needs to choose.
type linked struct {
	Handle  string `json:"handle"` // for the account argument, as the alias is
	Alias   string `json:"alias,omitempty"`
	Email   string `json:"masked_email,omitempty"`
	Default bool   `json:"default,omitempty"` // used where no account is named
	Ended   bool   `json:"reconnect,omitempty"`
}

// list shows the accounts that tools take, oldest first.
func (p *product) list(ctx context.Context, _ listInput) (tool.Output[listOutput], error) {
	var out tool.Output[listOutput]
	who := bearer.From(ctx)
	if who == nil {
		return out, errors.New("no principal: the guard is not in front of this tool")
	}
	if who.Machine() {
		return out, credential.ErrMachine
	}
	accounts, err := p.lister.Accounts(ctx, exchange.AccountsRequest{SubjectToken: who.Token, Tool: tool.Current(ctx).Name})
	if err != nil {
		return out, credential.ToolError(ctx, err)
	}
	v := listOutput{Linked: []linked{}, More: len(accounts) > maxListed}
	var list strings.Builder
	for _, a := range accounts[:min(len(accounts), maxListed)] {
		one := linked{Handle: a.Handle, Alias: content.Line(a.Alias, maxAlias), Email: a.MaskedEmail, Default: a.Chosen, Ended: a.Ended}
		v.Linked = append(v.Linked, one)
		fmt.Fprintf(&list, "\n- %s | %s | account %s", one.Alias, one.Email, one.Handle)
		if one.Default {
			list.WriteString(" (used where none is named)")
		}
		if one.Ended {
			list.WriteString(" (the person has to connect it again: see account_status)")
		}
	}
	out.Value = v
	out.Text = content.Count(len(accounts), "linked Google account", "linked Google accounts") + list.String()
	return out, nil
}
