package exchange

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"time"

	"latchkey/pkg/httpx"
)

// Peers says who may come to the internal listener over TLS (RFC 8705 §2): the
// bearers of certificates that are known by their hash, or that an authority of
// the operator's made out to one exact name. It stands before the client
// assertion, which is wanted all the same, and makes nothing of it unnecessary: it
// keeps everybody else from asking at all.
type Peers struct {
	Pins  [][sha256.Size]byte // SHA-256 of a certificate or its SubjectPublicKeyInfo; RFC 8705 §2.2 likewise trusts no chain
	Roots *x509.CertPool      // or: the authority of the certificate
	SAN   string              // and the DNS name or URI that it must have, exactly (RFC 8705 §2.1.2)
	Log   *slog.Logger
	Now   func() time.Time
}

var errPeer = errors.New("this certificate is not a resource server's")

// TLS is the listener's configuration, TLS 1.3 only. The check is in
// VerifyConnection, which resumed connections pass too.
func (p Peers) TLS(own *httpx.KeyPair) *tls.Config {
	c := &tls.Config{
		MinVersion:       tls.VersionTLS13,
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own.Certificate(), nil },
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ClientCAs:        p.Roots,
		VerifyConnection: p.verify,
		Time:             p.Now,
	}
	if len(p.Pins) > 0 {
		c.ClientAuth, c.ClientCAs = tls.RequireAnyClientCert, nil
	} else if p.Roots == nil {
		c.ClientCAs = x509.NewCertPool() // nobody: never the system's authorities
	}
	return c
}

func (p Peers) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) > 0 && p.known(s.PeerCertificates[0], s.VerifiedChains) {
		return nil
	}
	if p.Log != nil && len(s.PeerCertificates) > 0 {
		sum := sha256.Sum256(s.PeerCertificates[0].Raw)
		p.Log.Warn("a certificate was refused at the internal listener", "sha256", hex.EncodeToString(sum[:]))
	}
	return errPeer
}

func (p Peers) known(c *x509.Certificate, chains [][]*x509.Certificate) bool {
	if len(p.Pins) > 0 {
		now := p.Now()
		alive := !now.Before(c.NotBefore) && !now.After(c.NotAfter)
		return alive && (slices.Contains(p.Pins, sha256.Sum256(c.Raw)) || slices.Contains(p.Pins, sha256.Sum256(c.RawSubjectPublicKeyInfo)))
	}
	if len(chains) == 0 || p.SAN == "" {
		return false
	}
	for _, uri := range c.URIs {
		if uri.String() == p.SAN {
			return true
		}
	}
	return slices.Contains(c.DNSNames, p.SAN)
}
