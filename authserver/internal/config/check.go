package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"latchkey/authserver/internal/kek"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/commandline"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

const maxSecretFile = 64 << 10

// problems collects what is wrong, so that one start reports everything.
type problems struct{ commandline.Problems }

// secretOf reads a secret from its setting or from the file its _FILE setting
// names.
func (p *problems) secretOf(name, value, file string, required bool) secret.Text {
	switch {
	case value != "" && file != "":
		p.Addf("%s and %s_FILE are both set: keep one", name, name)
	case file != "":
		b, err := readSmall(file)
		if err != nil {
			p.Addf("cannot read the file that %s_FILE names: %v", name, err)
			break
		}
		if value = strings.TrimRight(string(b), "\r\n"); value == "" {
			p.Addf("the file that %s_FILE names is empty", name)
		}
	case value == "" && required:
		p.Addf("%s is not set: set it or %s_FILE", name, name)
	}
	return secret.NewText(value)
}

func readSmall(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSecretFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxSecretFile)
	}
	return os.ReadFile(file)
}

// check returns the database URL of the servers' login user.
func (d Database) check(p *problems) secret.Text {
	return p.secretOf("DATABASE_URL", d.DatabaseURL, d.DatabaseURLFile, true)
}

// RuntimeURL returns the URL of the servers' login user.
func (d Database) RuntimeURL() (secret.Text, error) {
	var p problems
	url := d.check(&p)
	return url, p.Err()
}

// MigrateURL returns the URL of the schema's owner.
func (d Database) MigrateURL() (secret.Text, error) {
	var p problems
	owner := p.secretOf("DATABASE_MIGRATE_URL", d.DatabaseMigrateURL, d.DatabaseMigrateURLFile, false)
	if owner.Empty() && p.Err() == nil {
		owner = d.check(&p)
	}
	return owner, p.Err()
}

// check returns the key-encryption key's source and, during a change of keys,
// that of the other one.
func (k KEK) check(p *problems) (current kek.Source, from *kek.Source) {
	one := func(prefix, file, uri string) kek.Source {
		if file != "" && uri != "" {
			p.Addf("%[1]sKEK_FILE and %[1]sKEK_URI are both set: keep one", prefix)
		}
		if uri != "" {
			if err := kek.CheckURI(uri); err != nil {
				p.Addf("%sKEK_URI %v", prefix, err)
			}
		}
		return kek.Source{File: file, URI: uri, VaultTokenFile: k.VaultTokenFile}
	}
	if k.KEKFile == "" && k.KEKURI == "" {
		p.Addf("neither KEK_FILE nor KEK_URI is set: make a key with: authserver keys init --kek-file FILE")
	}
	current = one("", k.KEKFile, k.KEKURI)
	if k.FromKEKFile != "" || k.FromKEKURI != "" {
		other := one("FROM_", k.FromKEKFile, k.FromKEKURI)
		from = &other
	}
	return current, from
}

// Sources returns the sources of the key-encryption key and, during a change of
// keys, of the other one, which is nil otherwise.
func (k KEK) Sources() (current kek.Source, from *kek.Source, err error) {
	var p problems
	current, from = k.check(&p)
	return current, from, p.Err()
}

// Check validates every setting and returns the typed configuration, or one
// error that lists every problem.
func (s Serve) Check() (*Server, error) {
	var p problems
	out := &Server{
		DatabaseURL: s.Database.check(&p), Listen: s.Listen, InternalListen: s.InternalListen, AdminListen: s.AdminListen,
		InternalURL: strings.TrimSuffix(s.InternalURL, "/"), RSClientID: s.RSClientID, RSJWKSFile: s.RSJWKSFile,
		AccessTokenTTL: s.AccessTokenTTL, RefreshGrace: s.RefreshGrace,
		SessionIdle: s.SessionIdle, SessionAbsolute: s.SessionAbsolute,
		AccessTokenAlg: s.AccessTokenAlg, SigningKeyPeriod: s.SigningKeyPeriod, // kong admits only the three algorithms
	}
	var err error
	p.places(out, s.Issuer, s.ResourceURL)
	for _, at := range [][2]string{{"AS_LISTEN", s.Listen}, {"AS_INTERNAL_LISTEN", s.InternalListen}, {"AS_ADMIN_LISTEN", s.AdminListen}} {
		if _, _, err := net.SplitHostPort(at[1]); err != nil {
			p.Addf("%s %s is not host:port", at[0], oauth.ShownURL(at[1]))
		}
	}
	out.KEK, out.FromKEK = s.KEK.check(&p)
	p.required("RS_CLIENT_ID", s.RSClientID, "name the resource server's client id")
	p.required("RS_JWKS_FILE", s.RSJWKSFile, "make the resource server's keys with: resourceserver keys init")
	p.required("GOOGLE_CLIENT_ID", s.GoogleClientID, "make an OAuth client (type web application) in the Google Cloud console")
	out.Google = Google{
		ClientID:     s.GoogleClientID,
		ClientSecret: p.secretOf("GOOGLE_CLIENT_SECRET", s.GoogleSecret, s.GoogleSecretFile, true),
		Issuer:       s.GoogleIssuer, AuthURL: s.GoogleAuthURL, TokenURL: s.GoogleTokenURL, JWKSURL: s.GoogleJWKSURL, RevokeURL: s.GoogleRevokeURL,
	}
	for _, at := range [][2]string{
		{"GOOGLE_ISSUER", s.GoogleIssuer}, {"GOOGLE_AUTH_URL", s.GoogleAuthURL}, {"GOOGLE_TOKEN_URL", s.GoogleTokenURL},
		{"GOOGLE_JWKS_URL", s.GoogleJWKSURL}, {"GOOGLE_REVOKE_URL", s.GoogleRevokeURL},
	} {
		p.endpoint(at[0], at[1], false)
	}
	if out.Google.Signals = s.GoogleSignals == "on"; out.Google.Signals {
		out.Google.SignalsIssuer, out.Google.SignalsJWKSURL = s.GoogleSignalsIssuer, s.GoogleSignalsJWKSURL
		p.endpoint("GOOGLE_SIGNALS_ISSUER", s.GoogleSignalsIssuer, false)
		if !strings.HasSuffix(s.GoogleSignalsIssuer, "/") {
			p.Addf("GOOGLE_SIGNALS_ISSUER %s must end in a slash, as Google's does", oauth.ShownURL(s.GoogleSignalsIssuer))
		}
		if s.GoogleSignalsJWKSURL != "" {
			p.endpoint("GOOGLE_SIGNALS_JWKS_URL", s.GoogleSignalsJWKSURL, false)
		}
	}
	out.InternalTLS = s.checkInternalTLS(&p)
	switch {
	case out.InternalURL != "":
		p.endpoint("AS_INTERNAL_URL", s.InternalURL, true)
		if out.InternalTLS != nil && !strings.HasPrefix(out.InternalURL, "https://") {
			p.Addf("AS_INTERNAL_URL %s must be https: the internal listener speaks TLS (AS_INTERNAL_TLS_CERT_FILE)", oauth.ShownURL(s.InternalURL))
		}
	case out.InternalTLS != nil:
		out.InternalURL = "https://" + s.InternalListen
	default:
		out.InternalURL = "http://" + s.InternalListen
	}
	p.within("ACCESS_TOKEN_TTL", s.AccessTokenTTL, time.Minute, 24*time.Hour)
	p.within("REFRESH_GRACE", s.RefreshGrace, 0, 10*time.Minute)
	p.within("SESSION_IDLE", s.SessionIdle, time.Minute, 24*time.Hour)
	p.within("SESSION_ABSOLUTE", s.SessionAbsolute, time.Minute, 30*24*time.Hour)
	if s.SigningKeyPeriod != 0 {
		p.within("SIGNING_KEY_PERIOD", s.SigningKeyPeriod, 24*time.Hour, 365*24*time.Hour)
	}
	if out.Profile, err = scope.ParseProfile(s.ConsentProfile); err != nil {
		p.Addf("CONSENT_PROFILE: %v", err)
	}
	s.checkClients(&p, out)
	if err := p.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// places checks where the two servers are.
func (p *problems) places(out *Server, issuer, resource string) {
	var err error
	if issuer == "" {
		p.Addf("ISSUER is not set: give the origin at which clients reach this server, e.g. https://auth.example.com")
	} else if out.Issuer, err = oauth.ParseIssuerURL(issuer); err != nil {
		p.Addf("ISSUER: %v", err)
	} else if out.Issuer.Path() != "" {
		p.Addf("ISSUER %s must be a bare origin: tenants have their issuers below it (/t/<slug>)", oauth.ShownURL(issuer))
	}
	if resource == "" {
		p.Addf("RESOURCE_URL is not set: give the MCP URL of the resource server, e.g. https://mcp.example.com/mcp")
	} else if out.Resource, err = oauth.ParseResource(resource); err != nil {
		p.Addf("RESOURCE_URL: %v", err)
	}
}

// Check returns the part of the server's configuration that tenants are made of.
func (t Tenancy) Check() (*Server, error) {
	var p problems
	out := &Server{Google: Google{ClientID: t.GoogleClientID}}
	p.places(out, t.Issuer, t.ResourceURL)
	if err := p.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// checkClients checks the settings about clients and where they come from.
func (s Serve) checkClients(p *problems, out *Server) {
	out.Documents = tenant.Admission{Mode: tenant.AdmissionMode(s.ClientDocuments), Hosts: s.ClientDocumentHosts}
	for _, host := range s.ClientDocumentHosts {
		if u, err := url.Parse("https://" + host + "/"); err != nil || u.Host != host || strings.ToLower(host) != host || host == "" {
			p.Addf("CLIENT_DOCUMENT_HOSTS: %s is not a host name in lower case", oauth.ShownURL(host))
		}
	}
	for _, uri := range s.CustomRedirects {
		if u, err := url.Parse(uri); err != nil || !u.IsAbs() || u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "javascript" || u.Scheme == "data" || u.Scheme == "file" || u.Scheme == "vbscript" || u.Fragment != "" {
			p.Addf("CUSTOM_REDIRECT_URIS: %s is not a private-use URI such as com.example.app:/callback", oauth.ShownURL(uri))
		}
	}
	out.CustomRedirects = s.CustomRedirects
	var err error
	if out.Proxies, err = httpx.ParseProxies(s.TrustedProxies); err != nil {
		p.Addf("TRUSTED_PROXIES: %v", err)
	}
	out.RateLimitScale = s.RateLimitScale
	if f := s.RateLimitScale; f != 0 && !(f >= 0.001 && f <= 1000) { // nor NaN
		p.Addf("RATE_LIMIT_SCALE %v is outside 0.001 to 1000, and not 0", f)
	}
	out.TestHosts = s.CIMDTestAllowHosts
	for _, host := range s.CIMDTestAllowHosts {
		name, _, err := net.SplitHostPort(host)
		if err != nil || !oauth.LoopbackHost(name) {
			p.Addf("CIMD_TEST_ALLOW_HOSTS: %s is not host:port on loopback", oauth.ShownURL(host))
		}
	}
	if s.CIMDTestCAFile != "" {
		out.TestRoots = p.authorities("CIMD_TEST_CA_FILE", s.CIMDTestCAFile)
	}
}

func (p *problems) required(name, value, advice string) {
	if value == "" {
		p.Addf("%s is not set: %s", name, advice)
	}
}

// endpoint checks a URL this server calls: https, or http on loopback. The
// internal listener lives on a private network and may be http.
func (p *problems) endpoint(name, value string, private bool) {
	u, err := url.Parse(value)
	if err == nil && u.User != nil {
		p.Addf("%s must be an absolute URL without a user", name)
		return
	}
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		p.Addf("%s %s is not an absolute URL", name, oauth.ShownURL(value))
		return
	}
	if u.Scheme == "http" && !private && !oauth.LoopbackHost(u.Hostname()) {
		p.Addf("%s %s must be https: plain http is accepted on loopback only", name, oauth.ShownURL(value))
	}
}

func (p *problems) within(name string, d, least, most time.Duration) {
	if d < least || d > most {
		p.Addf("%s %v is outside %v to %v", name, d, least, most)
	}
}
