package signals_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/signals"
	"latchkey/pkg/accesstoken"
)

const issuer = "https://accounts.google.com/"

var fuzzNow = time.Unix(1_800_000_000, 0)

// FuzzClaims: whatever Google signs, what is understood of it is bounded, ours, in time, and takes something away from
// exactly one account or one token.
func FuzzClaims(f *testing.F) {
	const risc, oauth = "https://schemas.openid.net/secevent/risc/event-type/", "https://schemas.openid.net/secevent/oauth/event-type/"
	add := func(uri, event string) {
		f.Add(fmt.Appendf(nil, `{"iss":%q,"aud":"ours","iat":1800000000,"jti":"j","events":{%q:%s}}`, issuer, uri, event))
	}
	add(risc+"account-disabled", `{"subject":{"subject_type":"iss-sub","iss":"https://accounts.google.com/","sub":"7375"},"reason":"hijacking"}`)
	add(risc+"verification", `{"state":"s"}`)
	add(oauth+"token-revoked", `{"subject":{"subject_type":"oauth_token","token_type":"refresh_token","token_identifier_alg":"prefix","token":"1//0AAAAAAAAAAAA"}}`)
	ours := []string{"also-ours", "ours"}
	f.Fuzz(func(t *testing.T, claims []byte) {
		s, err := signals.Parse(claims, issuer, ours, fuzzNow)
		if err != nil {
			if s != nil || len(err.Error()) > 1000 {
				t.Errorf("%v, %v", s, err)
			}
			return
		}
		if age := fuzzNow.Sub(s.Issued); age < -signals.Skew || age > signals.MaxAge {
			t.Errorf("age %v", age)
		}
		if len(s.Clients) == 0 || len(s.Clients) > 2 || !slices.IsSorted(s.Clients) || slices.ContainsFunc(s.Clients, func(id string) bool { return !slices.Contains(ours, id) }) {
			t.Errorf("clients %q", s.Clients)
		}
		if len(s.Acts) > 8 {
			t.Errorf("%d acts", len(s.Acts))
		}
		for _, a := range s.Acts {
			named := 0
			for _, there := range []bool{a.Subject != "", len(a.Token.Hash) == 64, len(a.Token.Prefix) == 32} {
				if there {
					named++
				}
			}
			if named != 1 || !strings.HasPrefix(a.Reason, "google_") || len(a.Subject) > 255 || strings.ContainsRune(a.Subject, 0) {
				t.Errorf("%+v", a)
			}
		}
		if again, err := signals.Parse(claims, issuer, ours, fuzzNow); err != nil || again.ID != s.ID {
			t.Errorf("the same claims are another event: %v", err)
		}
	})
}

// oneKey is a key set of one key.
type oneKey struct{ key jose.JSONWebKey }

func (k oneKey) Key(_ context.Context, kid string) (jose.JSONWebKey, error) {
	if kid != k.key.KeyID {
		return jose.JSONWebKey{}, accesstoken.ErrInvalid
	}
	return k.key, nil
}

// reached notes what reaches the database.
type reached struct {
	first *signals.Signal
	other atomic.Int64 // deliveries that are not the first one's event
}

func (r *reached) ActOnSignal(_ context.Context, s *signals.Signal) (signals.Effect, error) {
	if r.first == nil {
		r.first = s
	} else if s.ID != r.first.ID || !reflect.DeepEqual(s.Acts, r.first.Acts) || !s.Issued.Equal(r.first.Issued) {
		r.other.Add(1)
	}
	return signals.Effect{}, nil
}

// FuzzDelivery: nothing but the event that was signed reaches the database, and everything else is answered 400 or 413.
func FuzzDelivery(f *testing.F) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	store := &reached{}
	h := &signals.Handler{
		Keys: oneKey{jose.JSONWebKey{Key: &private.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}, Issuer: issuer,
		Clients: func() []string { return []string{"ours"} }, Store: store, Now: func() time.Time { return fuzzNow },
	}
	good := forge(f, jose.RS256, private, "k", map[string]any{"iss": issuer, "aud": "ours", "iat": fuzzNow.Unix(), "jti": "j",
		"events": map[string]any{signals.SessionsRevoked: map[string]any{"subject": map[string]any{"subject_type": "iss-sub", "iss": issuer, "sub": "1"}}}})
	deliver := func(body string) int {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/google/signals", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/secevent+jwt")
		h.ServeHTTP(w, r)
		return w.Code
	}
	if deliver(good) != http.StatusAccepted || store.first == nil {
		f.Fatal("the signed event is not taken")
	}
	f.Add(good, 0, byte('A'))
	f.Add(strings.Split(good, ".")[0]+".e30.", 3, byte('.'))
	f.Add("eyJhbGciOiJub25lIiwia2lkIjoiayJ9."+strings.Split(good, ".")[1]+".", 9, byte(0))
	f.Fuzz(func(t *testing.T, body string, at int, b byte) {
		bodies := []string{body}
		if at >= 0 && at < len(good) {
			changed := []byte(good)
			changed[at] = b
			bodies = append(bodies, string(changed))
		}
		for _, body := range bodies {
			// Base64 has spellings that decode alike: 202 may stand for another body,
			// never for another event.
			status := deliver(body)
			if store.other.Load() != 0 || (status != http.StatusAccepted && status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge) {
				t.Errorf("status %d for %q", status, body)
			}
		}
	})
}
