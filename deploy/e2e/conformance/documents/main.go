// Command documents is an https host of client ID metadata documents, for the
// clients under test: a throw-away certificate authority, one document of a
// public client and one of a client with a key. It writes ca.pem, key.jwk and
// address into the directory it is given, and serves until it is stopped.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "documents:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	certificate, ca, err := issue()
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private := jose.JSONWebKey{Key: key, KeyID: "documents", Algorithm: "ES256", Use: "sig"}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	origin := "https://" + address
	keyed := document(origin+"/keyed.json", "Keyed document client")
	keyed["token_endpoint_auth_method"] = "private_key_jwt"
	keyed["jwks_uri"] = origin + "/jwks.json"
	bodies := map[string]any{
		"/public.json": document(origin+"/public.json", "Document client"),
		"/keyed.json":  keyed,
		"/jwks.json":   jose.JSONWebKeySet{Keys: []jose.JSONWebKey{private.Public()}},
	}
	jwk, err := json.Marshal(private)
	if err != nil {
		return err
	}
	// The address comes last: it tells that everything is there.
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o644), //nolint:gosec // public
		os.WriteFile(filepath.Join(dir, "key.jwk"), jwk, 0o600),
		os.WriteFile(filepath.Join(dir, "address"), []byte(address), 0o600),
	)
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, ok := bodies[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "max-age=300")
			_ = json.NewEncoder(w).Encode(body)
		}),
	}
	return server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}))
}

func document(id, name string) map[string]any {
	return map[string]any{
		"client_id": id, "client_name": name, "redirect_uris": []string{"http://127.0.0.1/callback"},
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "token_endpoint_auth_method": "none",
	}
}

// issue makes a certificate authority and one certificate for loopback.
func issue() (tls.Certificate, []byte, error) {
	none := tls.Certificate{}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Latchkey conformance"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return none, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return none, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), nil
}
