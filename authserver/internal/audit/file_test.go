package audit_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/tenant"
)

// exported is a small export and the keys that vouch for it.
func exported(t testing.TB, now time.Time) (string, jose.JSONWebKeySet) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "k1", Algorithm: string(jose.ES256)}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType(audit.CheckpointType))
	if err != nil {
		t.Fatal(err)
	}
	var events []audit.Sealed
	hash := audit.Genesis(tenant.DefaultID)
	for seq := int64(1); seq <= 3; seq++ {
		e := base()
		e.At = now.Add(-time.Minute).Truncate(time.Microsecond)
		hash = audit.Chain(hash, seq, e)
		events = append(events, audit.Sealed{Seq: seq, Hash: hash, Event: e})
	}
	signed, err := signer.Sign(fmt.Appendf(nil, `{"tid":%q,"seq":3,"hash":%q}`, tenant.DefaultID, hash))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := audit.Export(&out, audit.Evidence{
		Tenant: tenant.DefaultID, Now: now, Events: all(events), Checkpoints: all([]audit.Checkpoint{{Tenant: tenant.DefaultID, Seq: 3, Hash: hash, KID: "k1", JWS: jws}}),
	})
	if err != nil || n != 3 {
		t.Fatal(n, err)
	}
	return out.String(), jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}
}

func all[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range list {
			if !yield(one, nil) {
				return
			}
		}
	}
}

// FuzzVerifyFile: whatever a file holds, verifying it ends, and what it calls good has the events that were signed.
func FuzzVerifyFile(f *testing.F) {
	export, keys := exported(f, time.Now())
	lines := strings.SplitAfter(export, "\n")
	f.Add(export)
	f.Add(strings.TrimSuffix(export, "\n"))
	f.Add(lines[0])
	f.Add(lines[0] + lines[2] + lines[1] + lines[4])
	f.Add(strings.ReplaceAll(export, "login", "log\\u0069n"))
	f.Add(`{"type":"chain"}`)
	f.Add("\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		reports, err := audit.VerifyFile(strings.NewReader(text), int64(len(text)), keys, nil)
		if err != nil {
			return
		}
		for _, r := range reports {
			if r.OK() && r.Attested > 0 && (r.Attested != 3 || r.First != 1 || r.Tenant != tenant.DefaultID.String()) {
				t.Errorf("%+v", r)
			}
		}
	})
}

// TestOldEventsWithoutCheckpoint: whoever removes the newest checkpoints with the events they covered changed is found when
// the events are older than any checkpoint's interval.
func TestOldEventsWithoutCheckpoint(t *testing.T) {
	t.Parallel()
	export, keys := exported(t, time.Now())
	e := base()
	for age, bad := range map[time.Duration]bool{time.Minute: false, audit.Overdue + time.Minute: true} {
		reports, err := audit.VerifyFile(strings.NewReader(export), int64(len(export)), keys, nil)
		if err != nil || !reports[0].OK() {
			t.Fatal(reports, err)
		}
		e.At = time.Now().Add(-age).Truncate(time.Microsecond)
		tail := fmt.Sprintf(`{"type":"event","seq":4,"hash":%q,"kind":"login","at":%q,"actor":"person","outcome":"ok","detail":"d","subject":%q,"client":"c","scopes":["a","b"]}`+"\n",
			audit.Chain(reports[0].HeadHash, 4, e), e.At.UTC().Format(time.RFC3339Nano), e.Subject)
		longer := export + tail
		reports, err = audit.VerifyFile(strings.NewReader(longer), int64(len(longer)), keys, nil)
		if err != nil || reports[0].OK() == bad || reports[0].Head != 4 || reports[0].Attested != 3 {
			t.Errorf("%v old: %+v %v", age, reports[0], err)
		}
	}
}
