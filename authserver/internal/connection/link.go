package connection

import (
	"context"
	"errors"
	"fmt"

	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/vault"
)

// NewLink seals what a completed sign-in at Google gave for the connection.
func NewLink(ctx context.Context, v Sealer, r *Record, upstream string, tokens *google.Tokens, who *google.Identity) (*Link, error) {
	var failed error
	seal := func(p vault.Purpose, value string) []byte {
		sealed, err := v.Seal(ctx, r.Binding(p), []byte(value))
		failed = errors.Join(failed, err)
		return sealed
	}
	l := &Link{Ref: r.Ref, UpstreamClient: upstream, AccessExpires: tokens.Expires, GoogleScopes: tokens.Scopes, HostedDomain: who.HostedDomain}
	if !tokens.Refresh.Empty() {
		l.SealedRefresh, l.RefreshID = seal(vault.RefreshToken, tokens.Refresh.Reveal()), IdentifyRefresh(tokens.Refresh)
		l.RefreshExpires = tokens.RefreshExpires
	}
	l.SealedAccess, l.SealedEmail = seal(vault.AccessToken, tokens.Access.Reveal()), seal(vault.Email, who.Email)
	if failed != nil {
		return nil, fmt.Errorf("sealing credential: %w", failed)
	}
	return l, nil
}

// Opener opens for a binding.
type Opener interface {
	Open(ctx context.Context, b vault.Binding, sealed []byte) ([]byte, error)
}

// Email opens the address of a connection: for its own person only, and for
// Google (login_hint).
func Email(ctx context.Context, v Opener, r *Record) (string, error) {
	if len(r.SealedEmail) == 0 {
		return "", nil // the first sign-in was not completed
	}
	plain, err := v.Open(ctx, r.Binding(vault.Email), r.SealedEmail)
	if err != nil {
		return "", fmt.Errorf("opening e-mail: %w", err)
	}
	return string(plain), nil
}
