package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/secret"
)

// person is a subject with its secret.
func person(b byte) vault.Binding {
	return vault.Binding{Subject: uuid.UUID{b}, Person: secret.NewBytes(bytes.Repeat([]byte{b}, 32))}
}

// TestSwapMatrix: DESIGN §1.6: what was sealed for one place opens at no other, of all pairs of tenants, persons,
// connections, purposes, contexts and formats.
func TestSwapMatrix(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	db, other := store(t, dsn), pgtest.Tenant(t, dsn)
	v := newVault(t, vault.Config{KEK: newKEK(t), Store: db})
	var places []vault.Binding
	for _, of := range []tenant.ID{tenant.DefaultID, other} {
		for _, p := range []vault.Purpose{vault.RefreshToken, vault.AccessToken, vault.Email, vault.SigningKey, vault.AuthorizationRequest, vault.UpstreamSecret} {
			for _, who := range []vault.Binding{{}, person(1), person(2)} {
				for _, connection := range []uuid.UUID{{}, {1}, {2}} {
					for _, context := range []string{"", "ab"} {
						b := who
						b.Tenant, b.Purpose, b.Connection, b.Context = of, p, connection, context
						places = append(places, b)
					}
				}
			}
		}
	}
	// Parts that move from one field into the next.
	moved := places[len(places)-1]
	moved.Purpose, moved.Context = moved.Purpose+"a", "b"
	places = append(places, moved)
	type value struct {
		format byte
		sealed []byte
	}
	values := make([][2]value, len(places))
	for i, b := range places {
		for f, seal := range []func(vault.Binding) ([]byte, error){
			func(b vault.Binding) ([]byte, error) { return v.SealV1(ctx, b, []byte("1//secret")) },
			func(b vault.Binding) ([]byte, error) { return v.Seal(ctx, b, []byte("1//secret")) },
		} {
			sealed, err := seal(b)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(sealed, []byte("secret")) || sealed[0] != byte(f+1) {
				t.Fatalf("sealed value is readable or of format %d", sealed[0])
			}
			values[i][f] = value{sealed[0], sealed}
		}
	}
	refused := 0
	for i := range places {
		for j, b := range places {
			for _, val := range values[i] {
				plain, err := v.Open(ctx, b, val.sealed)
				switch {
				case i == j && (err != nil || string(plain) != "1//secret"):
					t.Fatalf("format %d does not open at its own place %+v: %v", val.format, b, err)
				case i != j && !errors.Is(err, vault.ErrRefused):
					t.Fatalf("format %d sealed for %+v, opened for %+v: %v", val.format, places[i], b, err)
				case i != j:
					refused++
				}
				// Nor as another format than it is: the head is part of what is sealed.
				other := bytes.Clone(val.sealed)
				other[0] = 3 - val.format
				if _, err := v.Open(ctx, b, other); !errors.Is(err, vault.ErrRefused) {
					t.Fatalf("format %d opened as %d: %v", val.format, other[0], err)
				}
			}
		}
	}
	if want := 2 * len(places) * (len(places) - 1); refused != want {
		t.Errorf("%d of %d refused", refused, want)
	}
	t.Logf("%d of %d swaps refused", refused, 2*len(places)*(len(places)-1))
}

// TestChangedBytes: no byte of a value can be changed or cut off, of either format, and no nonce comes twice.
func TestChangedBytes(t *testing.T) {
	t.Parallel()
	v := newVault(t, vault.Config{KEK: newKEK(t), Store: store(t, pgtest.Clone(t))})
	home := person(1)
	home.Tenant, home.Purpose = tenant.DefaultID, vault.RefreshToken
	first, err := v.SealV1(ctx, home, []byte("1//secret"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := v.Seal(ctx, home, []byte("1//secret"))
	if err != nil {
		t.Fatal(err)
	}
	for _, sealed := range [][]byte{first, second} {
		for i := range sealed {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1
			for name, b := range map[string][]byte{"changed": changed, "cut": sealed[:i]} {
				if _, err := v.Open(ctx, home, b); !errors.Is(err, vault.ErrRefused) {
					t.Fatalf("format %d, byte %d %s: %v", sealed[0], i, name, err)
				}
			}
		}
	}
	if again, _ := v.Seal(ctx, home, []byte("1//secret")); bytes.Equal(again, second) {
		t.Error("sealing is deterministic: a nonce was used twice")
	}
	for name, b := range map[string]vault.Binding{
		"no tenant": {Purpose: vault.Email}, "no purpose": {Tenant: tenant.DefaultID},
		"a person without a secret": {Tenant: tenant.DefaultID, Purpose: vault.Email, Subject: uuid.UUID{1}},
		"a secret of nobody":        {Tenant: tenant.DefaultID, Purpose: vault.Email, Person: home.Person},
		"a short secret":            {Tenant: tenant.DefaultID, Purpose: vault.Email, Subject: uuid.UUID{1}, Person: secret.NewBytes(make([]byte, 16))},
	} {
		if _, err := v.Seal(ctx, b, nil); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

// TestPersonsSecretIsNeeded: whoever has the database and every key but the person's secret opens nothing of format 2; the
// secret is in no error and no print of a binding.
func TestPersonsSecretIsNeeded(t *testing.T) {
	t.Parallel()
	v := newVault(t, vault.Config{KEK: newKEK(t), Store: store(t, pgtest.Clone(t))})
	home := person(7)
	home.Tenant, home.Purpose = tenant.DefaultID, vault.Email
	sealed, err := v.Seal(ctx, home, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]secret.Bytes{"destroyed": {}, "another one": person(8).Person} {
		b := home
		b.Person = p
		if _, err := v.Open(ctx, b, sealed); !errors.Is(err, vault.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	old, err := v.SealV1(ctx, home, []byte("old"))
	if err != nil {
		t.Fatal(err)
	}
	without := home
	without.Person = secret.Bytes{}
	if plain, err := v.Open(ctx, without, old); err != nil || string(plain) != "old" {
		t.Errorf("a value of format 1 needs the data key alone: %v", err)
	}
	if printed := fmt.Sprintf("%+v %#v", home, home); bytes.Contains([]byte(printed), []byte{7, 7, 7}) || bytes.Contains([]byte(printed), []byte("7, 7")) {
		t.Errorf("a binding prints the secret: %s", printed)
	}
}
