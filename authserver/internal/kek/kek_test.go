package kek_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/kek"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

var ctx = context.Background()

var providers = map[string]func(*testing.T) provider{"vault": transit, "aws": amazon, "google": google}

func open(t *testing.T, s kek.Source) *vault.KEK {
	t.Helper()
	k, err := kek.Open(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestWrapAndUnwrap: a data key wrapped by a service comes back from it, for its tenant and id alone; another key, another
// tenant's place and changed bytes are the wrong key, and no doubt.
func TestWrapAndUnwrap(t *testing.T) {
	t.Parallel()
	for name, make := range providers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := make(t)
			one, two := open(t, p.source("one")), open(t, p.source("two"))
			if one.ID() != p.source("one").URI {
				t.Errorf("the key is called %s", one.ID())
			}
			k, err := vault.NewDataKey(ctx, one, tenant.DefaultID)
			if err != nil {
				t.Fatal(err)
			}
			again, err := vault.Rewrap(ctx, one, tenant.DefaultID, k)
			if err != nil || bytes.Equal(again.Wrapped, k.Wrapped) {
				t.Fatalf("unwrapped and wrapped again: %v", err)
			}
			moved, err := vault.Rewrap(ctx, two.With(one), tenant.DefaultID, k)
			if err != nil || moved.KEK != two.ID() {
				t.Fatalf("moved to another key: %v", err)
			}
			if _, err := vault.Rewrap(ctx, two, tenant.DefaultID, moved); err != nil {
				t.Errorf("the other key does not unwrap: %v", err)
			}
			swapped, changed, elsewhere := k, k, k
			swapped.KEK = two.ID()
			changed.Wrapped = bytes.Clone(k.Wrapped)
			changed.Wrapped[len(changed.Wrapped)-6] ^= 1
			elsewhere.ID = uuid.New()
			for what, refused := range map[string]struct {
				kek *vault.KEK
				of  tenant.ID
				key vault.DataKey
			}{
				"another key":      {two, tenant.DefaultID, swapped},
				"an unknown key":   {two, tenant.DefaultID, k},
				"changed bytes":    {one, tenant.DefaultID, changed},
				"another data key": {one, tenant.DefaultID, elsewhere},
				"another tenant":   {one, tenant.FromUUID(uuid.New()), k},
			} {
				if _, err := vault.Rewrap(ctx, refused.kek, refused.of, refused.key); !errors.Is(err, vault.ErrWrongKEK) || errors.Is(err, vault.ErrKEKAway) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// TestServiceInTrouble: what a service does is told apart: refusing is not the wrong key, and failing, hanging, flooding and
// lying are doubt; none of its words is repeated.
func TestServiceInTrouble(t *testing.T) {
	t.Parallel()
	for name, make := range providers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := make(t)
			one := open(t, p.source("one"))
			k, err := vault.NewDataKey(ctx, one, tenant.DefaultID)
			if err != nil {
				t.Fatal(err)
			}
			want := map[mood]error{fails: vault.ErrKEKAway, hangs: vault.ErrKEKAway, floods: vault.ErrKEKAway, lies: vault.ErrKEKAway}
			for _, m := range p.moods {
				want[m] = vault.ErrKEKRefused
			}
			check := func(what any, kind, err error) {
				t.Helper()
				if !errors.Is(err, kind) || errors.Is(err, vault.ErrWrongKEK) || strings.Contains(err.Error(), canary) || len(err.Error()) > 400 {
					t.Errorf("%v: %.600v", what, err)
				}
			}
			for m, kind := range want {
				p.keys.mood.Store(int32(m))
				_, err := vault.Rewrap(ctx, one, tenant.DefaultID, k)
				check(m, kind, err)
				_, err = vault.NewDataKey(ctx, one, tenant.DefaultID)
				check(m, kind, err)
			}
			p.keys.mood.Store(int32(hangs))
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err = vault.NewDataKey(short, one, tenant.DefaultID)
			check("a caller that gives up", context.DeadlineExceeded, err)
			p.keys.mood.Store(int32(well))
			if _, err := vault.Rewrap(ctx, one, tenant.DefaultID, k); err != nil {
				t.Errorf("after the trouble: %v", err)
			}
			_, err = vault.NewDataKey(ctx, open(t, p.absent), tenant.DefaultID)
			check("nobody listens", vault.ErrKEKAway, err)
		})
	}
}

// TestVaultToken: the token is read anew for each call, as Vault's agent renews it; a file without one is refusal, not doubt.
func TestVaultToken(t *testing.T) {
	t.Parallel()
	p := transit(t)
	s := p.source("one")
	s.VaultTokenFile = filepath.Join(t.TempDir(), "token")
	k := open(t, s)
	try := func(content string) error {
		t.Helper()
		if err := os.WriteFile(s.VaultTokenFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := vault.NewDataKey(ctx, k, tenant.DefaultID)
		return err
	}
	if _, err := vault.NewDataKey(ctx, k, tenant.DefaultID); !errors.Is(err, vault.ErrKEKRefused) || !strings.Contains(err.Error(), "VAULT_TOKEN_FILE") {
		t.Errorf("no file: %v", err)
	}
	if err := try("root-token\n"); err != nil {
		t.Error(err)
	}
	for name, content := range map[string]string{"expired": "old-token", "empty": " \n", "too large": strings.Repeat("x", 5<<10)} {
		if err := try(content); !errors.Is(err, vault.ErrKEKRefused) || strings.Contains(err.Error(), "old-token") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := try("root-token"); err != nil {
		t.Errorf("after it was renewed: %v", err)
	}
}

// TestOpenBoth: during a change of keys the current one wraps and the other one unwraps too, a file beside a service.
func TestOpenBoth(t *testing.T) {
	t.Parallel()
	file := kek.Source{File: filepath.Join(t.TempDir(), "kek.json")}
	old, err := vault.CreateKEK(file.File)
	if err != nil {
		t.Fatal(err)
	}
	k, err := vault.NewDataKey(ctx, old, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	current := transit(t).source("one")
	both, err := kek.OpenBoth(ctx, current, &file)
	if err != nil || both.ID() != current.URI {
		t.Fatal(err)
	}
	moved, err := vault.Rewrap(ctx, both, tenant.DefaultID, k)
	if err != nil || moved.KEK != current.URI {
		t.Fatal(moved.KEK, err)
	}
	alone, err := kek.OpenBoth(ctx, current, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Rewrap(ctx, alone, tenant.DefaultID, moved); err != nil {
		t.Errorf("after the change: %v", err)
	}
	if _, err := vault.Rewrap(ctx, alone, tenant.DefaultID, k); !errors.Is(err, vault.ErrWrongKEK) || !strings.Contains(err.Error(), old.ID()) {
		t.Errorf("the other key without being given: %v", err)
	}
	if _, err := kek.OpenBoth(ctx, current, &kek.Source{File: file.File + ".absent"}); err == nil || !strings.Contains(err.Error(), "FROM_KEK_FILE") {
		t.Errorf("the other key is missing: %v", err)
	}
}
