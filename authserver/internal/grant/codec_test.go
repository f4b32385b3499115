package grant_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/secret"
)

func key(id, fill byte) grant.MACKey {
	return grant.MACKey{ID: [4]byte{id}, Key: secret.NewBytes(bytes.Repeat([]byte{fill}, 32))}
}

func codec(t testing.TB, tn tenant.ID, active grant.MACKey, others ...grant.MACKey) *grant.Codec {
	t.Helper()
	c, err := grant.NewCodec(tn, active, others...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEveryMutationIsRefused: PEERS A16, truncated, extended and changed tokens.
func TestEveryMutationIsRefused(t *testing.T) {
	t.Parallel()
	t.Run("A16 AS-T11 every mutation of code and refresh token is refused", everyMutationIsRefused)
}

func everyMutationIsRefused(t *testing.T) {
	t.Parallel()
	c, id := codec(t, tenant.DefaultID, key(1, 7)), uuid.Must(uuid.NewV7())
	token, code := c.RefreshToken(id, 3).Reveal(), c.Code(id).Reveal()
	if got, gen, err := c.ParseRefreshToken(token); err != nil || got != id || gen != 3 {
		t.Fatal(got, gen, err)
	}
	if got, err := c.ParseCode(code); err != nil || got != id {
		t.Fatal(got, err)
	}
	for _, m := range mutants("lkr_", token) {
		if _, _, err := c.ParseRefreshToken(m); !errors.Is(err, grant.ErrForged) {
			t.Errorf("accepted a mutant refresh token of length %d", len(m))
		}
	}
	for _, m := range mutants("lkc_", code) {
		if _, err := c.ParseCode(m); !errors.Is(err, grant.ErrForged) {
			t.Errorf("accepted a mutant code of length %d", len(m))
		}
	}
}

// mutants are the token cut at every length, with every character changed,
// every bit flipped, extended and dressed up.
func mutants(prefix, token string) []string {
	var out []string
	for i := range len(token) {
		out = append(out, token[:i])
		for _, r := range "A_z9-=\x00" {
			if rune(token[i]) != r {
				out = append(out, token[:i]+string(r)+token[i+1:])
			}
		}
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token[4:])
	for i := range raw {
		for bit := range 8 {
			m := bytes.Clone(raw)
			m[i] ^= 1 << bit
			out = append(out, prefix+base64.RawURLEncoding.EncodeToString(m))
		}
	}
	other := map[string]string{"lkr_": "lkc_", "lkc_": "lkr_"}[prefix]
	return append(out, token+"A", token+"=", " "+token, token+"\n", strings.ToUpper(token), other+token[4:], prefix+token, strings.Repeat("A", 1<<16))
}

// TestKindAndTenantAreBound: a code is no refresh token, tenant A's token is none of B's.
func TestKindAndTenantAreBound(t *testing.T) {
	t.Parallel()
	t.Run("A5 a code is no refresh token, and none of another tenant", kindAndTenantAreBound)
}

func kindAndTenantAreBound(t *testing.T) {
	t.Parallel()
	k, id := key(1, 7), uuid.Must(uuid.NewV7())
	a, b := codec(t, tenant.DefaultID, k), codec(t, tenant.FromUUID(uuid.Must(uuid.NewV7())), k)
	code := a.Code(id).Reveal()
	if _, err := b.ParseCode(code); !errors.Is(err, grant.ErrForged) {
		t.Error("another tenant accepts the code")
	}
	if _, _, err := a.ParseRefreshToken("lkr_" + code[4:]); !errors.Is(err, grant.ErrForged) {
		t.Error("a code passes as refresh token")
	}
	if got, err := a.ParseCode(code); err != nil || got != id {
		t.Error(got, err)
	}
}

// TestSuccessorIsDeterministic: DESIGN §4, the same grant and generation give the same string; old keys still read.
func TestSuccessorIsDeterministic(t *testing.T) {
	t.Parallel()
	id := uuid.Must(uuid.NewV7())
	old := codec(t, tenant.DefaultID, key(1, 7))
	if !old.RefreshToken(id, 2).Equal(codec(t, tenant.DefaultID, key(1, 7)).RefreshToken(id, 2)) {
		t.Error("two derivations differ")
	}
	rotated := codec(t, tenant.DefaultID, key(2, 8), key(1, 7))
	if _, gen, err := rotated.ParseRefreshToken(old.RefreshToken(id, 2).Reveal()); err != nil || gen != 2 {
		t.Error("a token of the previous key is refused", err)
	}
}

// TestKeys: a key of the wrong size or two keys with one id make no codec.
func TestKeys(t *testing.T) {
	t.Parallel()
	short := grant.MACKey{ID: [4]byte{9}, Key: secret.NewBytes(make([]byte, 31))}
	for name, keys := range map[string][]grant.MACKey{"short": {key(1, 7), short}, "same id": {key(1, 7), key(1, 8)}} {
		if _, err := grant.NewCodec(tenant.DefaultID, keys[0], keys[1:]...); err == nil {
			t.Error(name)
		}
	}
	if _, err := grant.NewCodec(tenant.ID{}, key(1, 7)); err == nil {
		t.Error("no tenant")
	}
}

// FuzzParseCode: whatever is sent, only what this codec made is accepted.
func FuzzParseCode(f *testing.F) {
	c := codec(f, tenant.DefaultID, key(1, 7))
	f.Add(c.Code(uuid.UUID{1}).Reveal())
	f.Fuzz(func(t *testing.T, s string) {
		got, err := c.ParseCode(s)
		if err == nil && c.Code(got).Reveal() != s {
			t.Error("accepted a second spelling of a code")
		}
		if err != nil && (!errors.Is(err, grant.ErrForged) || got != uuid.Nil) {
			t.Error(got, err)
		}
	})
}

// FuzzParseRefreshToken: whatever is sent, only what this codec made is accepted.
func FuzzParseRefreshToken(f *testing.F) {
	c := codec(f, tenant.DefaultID, key(1, 7))
	f.Add(c.RefreshToken(uuid.UUID{1}, 1).Reveal())
	f.Fuzz(func(t *testing.T, s string) {
		got, generation, err := c.ParseRefreshToken(s)
		if err == nil && c.RefreshToken(got, generation).Reveal() != s {
			t.Error("accepted a second spelling of a refresh token")
		}
		if err != nil && (!errors.Is(err, grant.ErrForged) || got != uuid.Nil || generation != 0) {
			t.Error(got, generation, err)
		}
	})
}
