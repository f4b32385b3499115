package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxBody   = 1 << 20
	clockWarn = 30 * time.Second
	clockFail = 2 * time.Minute // assertions and tokens are refused beyond it
)

// Client is what doctor needs of the world; the zero value is the real one.
type Client struct {
	Roots *x509.CertPool   // nil: the system's
	Now   func() time.Time // nil: time.Now
}

func (c Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// http never follows a redirect: MCP clients and servers do not either.
func (c Client) http() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}
	t.DisableKeepAlives = true
	return &http.Client{Transport: t, Timeout: Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (c Client) do(ctx context.Context, method, to, body string, header ...string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http().Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return &answer{resp.StatusCode, resp.Header, b}, err
}

// redirected is the finding that something in front answers with a redirect.
func (a *answer) redirected(from string) error {
	if a.status < 300 || a.status > 399 {
		return nil
	}
	return bad(fmt.Sprintf("%s answers with a redirect (%d) to %s", from, a.status, a.header.Get("Location")),
		"Clients do not follow it: let the reverse proxy pass the request on, and let the URL that people enter be the final one, with https and without a slash at its end.")
}

// reach looks at the way to an origin: name, connection, certificate.
func (r *Report) reach(ctx context.Context, c Client, label string, origin *url.URL, needs ...string) string {
	host, port := origin.Hostname(), origin.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[origin.Scheme]
	}
	name, connection, certificate := "name of the "+label, "connection to the "+label, "certificate of the "+label
	r.look(ctx, name, needs, func(ctx context.Context) (string, error) {
		if net.ParseIP(host) != nil {
			return host + " is an address", nil
		}
		found, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			return "", bad(host+" does not resolve: "+oneLine(err), "Make the DNS record, or correct the host in the setting.")
		}
		return host + " is " + strings.Join(found, " "), nil
	})
	address := net.JoinHostPort(host, port)
	r.look(ctx, connection, []string{name}, func(ctx context.Context) (string, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return "", bad("nothing answers at "+address+": "+oneLine(err), "Start the server or the reverse proxy there, and open the way to it (firewall, security group, port).")
		}
		_ = conn.Close()
		return address + " answers", nil
	})
	if origin.Scheme != "https" {
		return connection
	}
	r.look(ctx, certificate, []string{connection}, func(ctx context.Context) (string, error) {
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: c.Roots, ServerName: host, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", address)
		if err != nil {
			return "", c.tlsFinding(host, err)
		}
		defer func() { _ = conn.Close() }()
		leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
		if left := leaf.NotAfter.Sub(c.now()); left < 7*24*time.Hour {
			return "", odd(fmt.Sprintf("it ends on %s", leaf.NotAfter.UTC().Format(time.DateOnly)), "Renew it before that day.")
		}
		return "valid until " + leaf.NotAfter.UTC().Format(time.DateOnly), nil
	})
	return certificate
}

func (c Client) tlsFinding(host string, err error) error {
	var (
		invalid x509.CertificateInvalidError
		other   x509.HostnameError
		unknown x509.UnknownAuthorityError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &other):
		return bad(fmt.Sprintf("it is for %s, not for %s", strings.Join(other.Certificate.DNSNames, " "), host), "Install a certificate that has this name.")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return bad(fmt.Sprintf("it is valid from %s to %s only", invalid.Cert.NotBefore.UTC().Format(time.DateOnly), invalid.Cert.NotAfter.UTC().Format(time.DateOnly)),
			"Renew it; if the dates are right, correct this machine's clock.")
	case errors.As(err, &unknown):
		return bad("its authority is not known here", "Install the whole chain at the server. For an authority of your own, set SSL_CERT_FILE where the servers and the clients run.")
	case errors.As(err, &record):
		return bad("the server does not speak TLS there", "The URL says https: end TLS in front of the server, or correct the URL's port.")
	}
	return bad("TLS fails: "+oneLine(err), "Look at the TLS settings of whatever ends TLS there: version 1.2 or newer is needed.")
}

// clock compares the server's Date with this machine's clock.
func (c Client) clock(a *answer) (string, error) {
	at, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return "the server tells no time", nil
	}
	off := c.now().Sub(at).Round(time.Second)
	found := fmt.Sprintf("the server's clock is %v from this one", off.Abs())
	switch {
	case off.Abs() > clockFail:
		return "", bad(found, "Tokens and assertions are valid for minutes: keep every machine's clock by NTP.")
	case off.Abs() > clockWarn:
		return "", odd(found, "Keep every machine's clock by NTP.")
	}
	return found, nil
}
