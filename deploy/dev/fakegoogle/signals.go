package fakegoogle

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Signal is a security event of Cross-Account Protection (RISC) to send.
type Signal struct {
	Receiver string   `json:"receiver"`  // URL to deliver to
	Event    string   `json:"event"`     // e.g. "sessions-revoked"; a URI is taken as it is
	Email    string   `json:"email"`     // of the account it is about
	Clients  []string `json:"clients"`   // aud; default every registered client
	Reason   string   `json:"reason"`    // of account-disabled
	State    string   `json:"state"`     // of verification
	TokenAlg string   `json:"token_alg"` // of token-revoked: prefix (default) or hash_base64_sha512_sha512
	ID       string   `json:"jti"`       // default a fresh one
}

const (
	riscEvents  = "https://schemas.openid.net/secevent/risc/event-type/"
	oauthEvents = "https://schemas.openid.net/secevent/oauth/event-type/"
)

// SignalIssuer is the issuer of security events: like Google's, the issuer of ID
// tokens with a slash.
func (s *Server) SignalIssuer() string { return s.issuer + "/" }

// Claims are the claims of a signal's token. token-revoked is about the latest
// refresh token that the first client has of the account.
func (s *Server) Claims(signal Signal) (map[string]any, error) {
	s.mu.Lock()
	if len(signal.Clients) == 0 {
		signal.Clients = slices.Sorted(maps.Keys(s.clients))
	}
	s.mu.Unlock()
	uri := signal.Event
	switch {
	case strings.Contains(uri, ":"):
	case uri == "token-revoked", uri == "tokens-revoked":
		uri = oauthEvents + uri
	default:
		uri = riscEvents + uri
	}
	event := map[string]any{}
	if signal.Event == "verification" {
		event["state"] = signal.State
	} else {
		subject, err := s.signalSubject(signal)
		if err != nil {
			return nil, err
		}
		event["subject"] = subject
	}
	if signal.Reason != "" {
		event["reason"] = signal.Reason
	}
	if signal.ID == "" {
		signal.ID = rand.Text()
	}
	return map[string]any{"iss": s.SignalIssuer(), "aud": signal.Clients, "iat": s.now().Unix(), "jti": signal.ID, "events": map[string]any{uri: event}}, nil
}

func (s *Server) signalSubject(signal Signal) (map[string]any, error) {
	u := s.userByEmail(signal.Email)
	if u == nil {
		return nil, fmt.Errorf("there is no account %q", signal.Email)
	}
	if signal.Event != "token-revoked" {
		return map[string]any{"subject_type": "iss-sub", "iss": s.SignalIssuer(), "sub": u.Sub}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[grantKey{signal.Clients[0], u.Sub}]
	if g == nil || len(g.refresh) == 0 {
		return nil, fmt.Errorf("client %q has no refresh token of %q", signal.Clients[0], signal.Email)
	}
	token := g.refresh[len(g.refresh)-1]
	subject := map[string]any{"subject_type": "oauth_token", "token_type": "refresh_token", "token_identifier_alg": "prefix", "token": token[:16]}
	if signal.TokenAlg != "" && signal.TokenAlg != "prefix" {
		once := sha512.Sum512([]byte(token))
		twice := sha512.Sum512(once[:])
		subject["token_identifier_alg"], subject["token"] = signal.TokenAlg, base64.StdEncoding.EncodeToString(twice[:])
	}
	return subject, nil
}

// Sign signs claims with the stand-in's key as a token of a type, "" for none.
func (s *Server) Sign(claims map[string]any, typ string) (string, error) {
	options := &jose.SignerOptions{}
	if typ != "" {
		options = options.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.key, KeyID: "fake-1"}}, options)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// Deliver posts a token to a receiver (RFC 8935 §2.1) and returns its answer.
func Deliver(ctx context.Context, receiver, token string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, receiver, strings.NewReader(token))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/secevent+jwt")
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, string(b), err
}

// Send makes a signal and delivers it.
func (s *Server) Send(ctx context.Context, signal Signal) (status int, body string, err error) {
	claims, err := s.Claims(signal)
	if err != nil {
		return 0, "", err
	}
	token, err := s.Sign(claims, "secevent+jwt")
	if err != nil {
		return 0, "", err
	}
	return Deliver(ctx, signal.Receiver, token)
}

// riscConfiguration tells receivers where the keys are.
func (s *Server) riscConfiguration(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, 200, map[string]any{
		"issuer": s.SignalIssuer(), "jwks_uri": s.issuer + "/oauth2/v3/certs",
		"delivery_methods_supported": []string{"https://schemas.openid.net/secevent/risc/delivery-method/push"},
	})
}

// controlSignal sends a signal and answers what the receiver answered.
func (s *Server) controlSignal(w http.ResponseWriter, r *http.Request) {
	var signal Signal
	if err := json.NewDecoder(r.Body).Decode(&signal); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status, body, err := s.Send(r.Context(), signal)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, 200, map[string]any{"status": status, "body": body})
}
