package seal_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/resourceserver/internal/seal"
)

type value struct{ A string }

func keys(t *testing.T) *seal.Keys {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := seal.New(jose.JSONWebKey{Key: private})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func box(t *testing.T, k *seal.Keys, purpose string, now func() time.Time) *seal.Box[value] {
	t.Helper()
	b, err := seal.NewBox[value](k, purpose, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBox: every replica opens it, nobody else does, for no other purpose, and
// not a bit may differ.
func TestBox(t *testing.T) {
	t.Parallel()
	now := time.Now()
	clock := func() time.Time { return now }
	k := keys(t)
	sealed, err := box(t, k, "p", clock).Seal(value{"canary"}, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	replica := box(t, k, "p", clock)
	if v, until, err := replica.Open(sealed); err != nil || v.A != "canary" || until.Sub(now).Round(time.Second) != time.Minute {
		t.Error(v, until, err)
	}
	again, err := replica.Seal(value{"canary"}, now.Add(time.Minute))
	if err != nil || again == sealed || strings.Contains(sealed, "canary") {
		t.Error("equal values show that they are equal", err)
	}
	for name, c := range map[string]struct {
		box    *seal.Box[value]
		sealed string
	}{
		"another purpose": {box(t, k, "q", clock), sealed},
		"another key":     {box(t, keys(t), "p", clock), sealed},
		"cut":             {replica, sealed[:len(sealed)-2]},
		"padded":          {replica, sealed + "="},
		"empty":           {replica, ""},
		"not base64":      {replica, "%%%"},
		"huge":            {replica, strings.Repeat("A", 1<<20)},
		"ended":           {box(t, k, "p", func() time.Time { return now.Add(time.Minute) }), sealed},
	} {
		if _, _, err := c.box.Open(c.sealed); !errors.Is(err, seal.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range len(sealed) {
		other := byte('A')
		if sealed[i] == other {
			other = 'B'
		}
		if _, _, err := replica.Open(sealed[:i] + string(other) + sealed[i+1:]); err == nil {
			t.Fatalf("character %d may be changed", i)
		}
	}
}

// TestNew: both kinds of server keys, and no other.
func TestNew(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.New(jose.JSONWebKey{Key: private}); err != nil {
		t.Error(err)
	}
	if _, err := seal.New(jose.JSONWebKey{Key: []byte("symmetric")}); err == nil {
		t.Error("a symmetric key was taken")
	}
	if _, err := seal.NewBox[value](keys(t), "", nil); err == nil {
		t.Error("a box without a purpose was made")
	}
}
