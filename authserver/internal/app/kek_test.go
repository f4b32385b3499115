package app_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// keyService is a key management service that fails as it is told.
type keyService struct{ fails atomic.Pointer[error] }

func (s *keyService) EncryptWithContext(_ context.Context, raw, _ []byte) ([]byte, error) {
	return bytes.Clone(raw), *s.fails.Load()
}

func (s *keyService) DecryptWithContext(_ context.Context, wrapped, _ []byte) ([]byte, error) {
	return bytes.Clone(wrapped), *s.fails.Load()
}

func (s *keyService) fail(err error) { s.fails.Store(&err) }

// TestNoStartWithoutKEK: DESIGN §1.6: a wrong key and one that may not be used stop the start at once; a service that does not answer
// is waited for, and what is said then is told from a wrong key; a database that is away is readiness's business.
func TestNoStartWithoutKEK(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	service := &keyService{}
	server := func(url string) *app.Server {
		t.Helper()
		db, err := postgres.Open(t.Context(), postgres.Config{URL: secret.NewText(url)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		c := &config.Server{DatabaseURL: secret.NewText(url), AccessTokenTTL: 10 * time.Minute, RefreshGrace: time.Minute}
		if c.Issuer, err = oauth.ParseIssuerURL("https://as.example.com"); err != nil {
			t.Fatal(err)
		}
		if c.Resource, err = oauth.ParseResource("https://mcp.example.com/mcp"); err != nil {
			t.Fatal(err)
		}
		a, err := app.New(c, db, vault.NewKEK(service, "test"), &exchange.Clients{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Reload(t.Context()) // as a server does before; without a database it knows no tenant, and that is another's test
		return a
	}
	const long = time.Hour // nothing below waits for it
	service.fail(vault.ErrKEKAway)
	err := server(dsn).CheckKEK(t.Context(), 0)
	if !errors.Is(err, vault.ErrKEKAway) || errors.Is(err, vault.ErrWrongKEK) || !strings.Contains(err.Error(), "nothing says that the key is wrong") {
		t.Errorf("a service that is away: %v", err)
	}
	for _, kind := range []error{vault.ErrWrongKEK, vault.ErrKEKRefused} {
		service.fail(kind)
		if err := server(dsn).CheckKEK(t.Context(), long); !errors.Is(err, kind) || errors.Is(err, vault.ErrKEKAway) {
			t.Errorf("%v: %v", kind, err)
		}
	}
	service.fail(vault.ErrKEKAway)
	time.AfterFunc(50*time.Millisecond, func() { service.fail(nil) })
	if err := server(dsn).CheckKEK(t.Context(), long); err != nil {
		t.Errorf("a service that comes back: %v", err)
	}
	// The other kind of wrong: the database was sealed under another key.
	other := vault.NewKEK(service, "another")
	db, err := postgres.Open(t.Context(), postgres.Config{URL: secret.NewText(dsn)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	v, err := vault.New(vault.Config{KEK: other, Store: db})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Active(t.Context(), tenant.DefaultID); !errors.Is(err, vault.ErrWrongKEK) || !strings.Contains(err.Error(), "test") {
		t.Errorf("a key of another name: %v", err)
	}
	if err := server("postgres://nobody@127.0.0.1:1/nowhere").CheckKEK(t.Context(), long); err != nil {
		t.Errorf("a database that is away: %v", err)
	}
}
