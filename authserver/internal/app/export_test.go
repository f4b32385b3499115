package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/alecthomas/kong"

	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

// CheckKEK is what serve asks before it serves.
func (s *Server) CheckKEK(ctx context.Context, wait time.Duration) error {
	return s.checkKEK(ctx, slog.New(slog.DiscardHandler), wait)
}

// UseKeys uses a tenant's signing keys and its data keys, as a request does.
func (s *Server) UseKeys(ctx context.Context, t tenant.ID) (signing, data error) {
	_, signing = s.keys.For(ctx, t)
	_, data = s.flow.Vault.Seal(ctx, vault.Binding{Tenant: t, Purpose: vault.AuthorizationRequest}, []byte("x"))
	return signing, data
}

// CommandLine is what the program's commands are parsed by.
func CommandLine() (*kong.Kong, error) { return commandLine(&cli{}, &config.File{}) }
