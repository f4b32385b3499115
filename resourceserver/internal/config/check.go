package config

import (
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"

	"latchkey/pkg/commandline"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/resource"
)

const maxOrigins = 100

// problems collects what is wrong, so that one start reports everything.
type problems struct{ commandline.Problems }

func (p *problems) required(name, value, advice string) bool {
	if value == "" {
		p.Addf("%s is not set: %s", name, advice)
	}
	return value != ""
}

// endpoint checks a URL this server calls: https, or http on loopback. One on a
// private network may be http.
func (p *problems) endpoint(name, value string, private bool) {
	u, err := url.Parse(value)
	if err == nil && u.User != nil {
		p.Addf("%s must be an absolute URL without a user", name)
		return
	}
	if err != nil || u.Host == "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		p.Addf("%s %s is not an absolute URL", name, oauth.ShownURL(value))
		return
	}
	if u.Scheme == "http" && !private && !oauth.LoopbackHost(u.Hostname()) {
		p.Addf("%s %s must be https: plain http is accepted on loopback only", name, oauth.ShownURL(value))
	}
}

// Check validates every setting and returns the typed configuration, or one
// error that lists every problem.
func (s Serve) Check() (*Server, error) {
	var p problems
	var err error
	out := &Server{
		Listen: s.Listen, JWKSURL: s.JWKSURL, ASInternalURL: strings.TrimSuffix(s.ASInternalURL, "/"), RSClientID: s.RSClientID,
		RSKeyFile: s.RSKeyFile, GoogleAPIURL: strings.TrimSuffix(s.GoogleAPIURL, "/"),
	}
	out.RateLimitScale = s.RateLimitScale
	if f := s.RateLimitScale; f != 0 && !(f >= 0.001 && f <= 1000) { // nor NaN
		p.Addf("RATE_LIMIT_SCALE %v is outside 0.001 to 1000, and not 0", f)
	}
	if host, _, err := net.SplitHostPort(s.Listen); err != nil {
		p.Addf("RS_LISTEN %s is not host:port", oauth.ShownURL(s.Listen))
	} else {
		out.ListenLoopback = oauth.LoopbackHost(host)
	}
	if p.required("RESOURCE_URL", s.ResourceURL, "give the MCP URL as clients know it, e.g. https://mcp.example.com/mcp") {
		if out.Resource, err = oauth.ParseResource(s.ResourceURL); err != nil {
			p.Addf("RESOURCE_URL: %v", err)
		} else if resource.Reserved(out.Resource.Path()) {
			p.Addf("RESOURCE_URL %s has a path that this server needs for itself", oauth.ShownURL(s.ResourceURL))
		}
	}
	if p.required("ISSUER", s.Issuer, "give the authorization server's issuer, e.g. https://auth.example.com") {
		if out.Issuer, err = oauth.ParseIssuerURL(s.Issuer); err != nil {
			p.Addf("ISSUER: %v", err)
		}
	}
	if s.JWKSURL != "" {
		p.endpoint("JWKS_URL", s.JWKSURL, true)
	} else if !out.Issuer.IsZero() {
		out.JWKSURL = out.Issuer.Endpoint("/jwks")
	}
	if p.required("AS_INTERNAL_URL", s.ASInternalURL, "give the authorization server's internal listener, e.g. http://127.0.0.1:8081") {
		p.endpoint("AS_INTERNAL_URL", s.ASInternalURL, true)
	}
	s.checkInternalTLS(&p, out)
	p.required("RS_CLIENT_ID", s.RSClientID, "name this server's client id at the token exchange")
	p.required("RS_KEY_FILE", s.RSKeyFile, "make a key with: resourceserver keys init --key-file FILE --jwks-file FILE")
	if s.GoogleAPIURL != "" {
		p.endpoint("GOOGLE_API_URL", s.GoogleAPIURL, false)
	}
	out.AllowedOrigins = p.origins(s.AllowedOrigins)
	out.ToolPreset, out.Policy = s.Tools.check(&p)
	if err := p.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

const maxCAFile = 256 << 10

// checkInternalTLS checks what this server shows at the internal listener, and
// whom it believes there.
func (s Serve) checkInternalTLS(p *problems, out *Server) {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		p.Addf("RS_INTERNAL_TLS_CERT_FILE and RS_INTERNAL_TLS_KEY_FILE belong together: set both or neither")
	}
	if (s.TLSCert != "" || s.InternalCA != "") && !strings.HasPrefix(s.ASInternalURL, "https://") {
		p.Addf("AS_INTERNAL_URL %s must be https: certificates are set for it", oauth.ShownURL(s.ASInternalURL))
	}
	out.TLSCert, out.TLSKey = s.TLSCert, s.TLSKey
	if s.InternalCA == "" {
		return
	}
	info, err := os.Stat(s.InternalCA)
	if err == nil && info.Size() > maxCAFile {
		err = errors.New("the file is too large")
	}
	var pem []byte
	if err == nil {
		pem, err = os.ReadFile(s.InternalCA)
	}
	out.InternalCA = x509.NewCertPool()
	if err != nil || !out.InternalCA.AppendCertsFromPEM(pem) {
		p.Addf("AS_INTERNAL_TLS_CA_FILE %s holds no certificate that can be read: %v", s.InternalCA, err)
	}
}

// origins checks that each is exactly what a browser sends (RFC 6454 §6.2). "*"
// is refused: it would undo the protection against foreign pages.
func (p *problems) origins(given []string) []string {
	var out []string
	for _, o := range given {
		if o = strings.TrimSpace(o); o == "" {
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || o != strings.ToLower(u.Scheme+"://"+u.Host) {
			p.Addf("ALLOWED_ORIGINS: %s is not an origin such as https://app.example.com (no path, no wildcard)", oauth.ShownURL(o))
			continue
		}
		if strings.Contains(o, "*") {
			p.Addf("ALLOWED_ORIGINS: %s has a wildcard: list each origin", oauth.ShownURL(o))
			continue
		}
		out = append(out, o)
	}
	if len(out) > maxOrigins {
		p.Addf("ALLOWED_ORIGINS has more than %d origins", maxOrigins)
	}
	return out
}
