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
	c, id := codec(t, tenant.DefaultID, key(1, 7)), uuid.Must(uuid.NewV7())
	token := c.RefreshToken(id, 3).Reveal()
	if got, gen, err := c.ParseRefreshToken(token); err != nil || got != id || gen != 3 {
		t.Fatal(got, gen, err)
	}
	var mutants []string
	for i := range len(token) {
		mutants = append(mutants, token[:i])
		for _, r := range "A_z9-=\x00" {
			if rune(token[i]) != r {
				mutants = append(mutants, token[:i]+string(r)+token[i+1:])
			}
		}
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token[4:])
	for i := range raw {
		for bit := range 8 {
			m := bytes.Clone(raw)
			m[i] ^= 1 << bit
			mutants = append(mutants, "lkr_"+base64.RawURLEncoding.EncodeToString(m))
		}
	}
	mutants = append(mutants, token+"A", token+"=", " "+token, token+"\n", strings.ToUpper(token), "lkc_"+token[4:], strings.Repeat("A", 1<<16), "")
	for _, m := range mutants {
		if _, _, err := c.ParseRefreshToken(m); !errors.Is(err, grant.ErrForged) {
			t.Fatalf("accepted a mutant of length %d", len(m))
		}
	}
}

// TestKindAndTenantAreBound: a code is no refresh token, tenant A's token is none of B's.
func TestKindAndTenantAreBound(t *testing.T) {
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

// FuzzParse: whatever is sent, only what this codec made is accepted.
func FuzzParse(f *testing.F) {
	c, id := codec(f, tenant.DefaultID, key(1, 7)), uuid.UUID{1}
	f.Add(c.Code(id).Reveal())
	f.Add(c.RefreshToken(id, 1).Reveal())
	f.Add("lkr_")
	f.Fuzz(func(t *testing.T, s string) {
		if got, gen, err := c.ParseRefreshToken(s); err == nil && c.RefreshToken(got, gen).Reveal() != s {
			t.Errorf("accepted a second spelling of a refresh token")
		}
		if got, err := c.ParseCode(s); err == nil && c.Code(got).Reveal() != s {
			t.Errorf("accepted a second spelling of a code")
		}
	})
}
