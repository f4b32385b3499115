package config

import (
	"crypto/sha256"
	"crypto/x509"
	"time"

	"latchkey/authserver/internal/kek"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

// Database are the settings of commands that need the database.
type Database struct {
	DatabaseURL            string `name:"database-url" secret:"url" env:"DATABASE_URL" help:"PostgreSQL URL of the servers' login user." placeholder:"URL"`
	DatabaseURLFile        string `name:"database-url-file" env:"DATABASE_URL_FILE" help:"File that holds DATABASE_URL." placeholder:"FILE"`
	DatabaseMigrateURL     string `name:"database-migrate-url" secret:"url" env:"DATABASE_MIGRATE_URL" help:"PostgreSQL URL of the schema's owner, for migrate (default: DATABASE_URL)." placeholder:"URL"`
	DatabaseMigrateURLFile string `name:"database-migrate-url-file" env:"DATABASE_MIGRATE_URL_FILE" help:"File that holds DATABASE_MIGRATE_URL." placeholder:"FILE"`
}

// Tenancy are the settings of commands about tenants: those of the server that
// say what its tenants are made of.
type Tenancy struct {
	Database
	Issuer         string `name:"issuer" env:"ISSUER" help:"Origin of the authorization server." placeholder:"URL"`
	ResourceURL    string `name:"resource-url" env:"RESOURCE_URL" help:"MCP URL of the resource server." placeholder:"URL"`
	GoogleClientID string `name:"google-client-id" env:"GOOGLE_CLIENT_ID" help:"OAuth client id of the deployment at Google." placeholder:"ID"`
}

// KEK are the settings of the key-encryption key.
type KEK struct {
	KEKFile        string `name:"kek-file" env:"KEK_FILE" help:"Key-encryption key in a file; make one with: authserver keys init --kek-file FILE." placeholder:"FILE"`
	KEKURI         string `name:"kek-uri" env:"KEK_URI" help:"Key-encryption key in a service, instead of KEK_FILE: gcp-kms://…, aws-kms://… or hcvault://…." placeholder:"URI"`
	FromKEKFile    string `name:"from-kek-file" env:"FROM_KEK_FILE" help:"Another key-encryption key, in a file, under which data keys may still be wrapped: for a change of keys." placeholder:"FILE"`
	FromKEKURI     string `name:"from-kek-uri" env:"FROM_KEK_URI" help:"Another key-encryption key, in a service, under which data keys may still be wrapped." placeholder:"URI"`
	VaultTokenFile string `name:"vault-token-file" env:"VAULT_TOKEN_FILE" help:"File with the token for hcvault://, read anew for each use (default: VAULT_TOKEN)." placeholder:"FILE"`
}

// Log are the settings of the log.
type Log struct {
	LogLevel  string `name:"log-level" env:"LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"LOG_FORMAT" default:"json" enum:"json,text" help:"Form of the log on standard error: json or text."`
}

// Serve are the settings of the server, as given: strings from outside.
type Serve struct {
	Database
	KEK
	Log
	Issuer         string `name:"issuer" env:"ISSUER" help:"Origin at which clients reach this server, e.g. https://auth.example.com." placeholder:"URL"`
	ResourceURL    string `name:"resource-url" env:"RESOURCE_URL" help:"MCP URL of the resource server, e.g. https://mcp.example.com/mcp." placeholder:"URL"`
	Listen         string `name:"as-listen" env:"AS_LISTEN" default:"127.0.0.1:8080" help:"Public address."`
	InternalListen string `name:"as-internal-listen" env:"AS_INTERNAL_LISTEN" default:"127.0.0.1:8081" help:"Address of the internal token exchange; never route it publicly."`
	AdminListen    string `name:"as-admin-listen" env:"AS_ADMIN_LISTEN" default:"127.0.0.1:8082" help:"Address of health checks and the admin API; keep it private."`
	InternalURL    string `name:"as-internal-url" env:"AS_INTERNAL_URL" help:"URL at which the resource server reaches the internal listener, the audience of its assertions (default: http:// and AS_INTERNAL_LISTEN)." placeholder:"URL"`

	InternalTLSCert   string   `name:"as-internal-tls-cert-file" env:"AS_INTERNAL_TLS_CERT_FILE" help:"Certificate of the internal listener (PEM). With it the listener speaks TLS only, to resource servers whose certificate is known." placeholder:"FILE"`
	InternalTLSKey    string   `name:"as-internal-tls-key-file" env:"AS_INTERNAL_TLS_KEY_FILE" help:"Key of AS_INTERNAL_TLS_CERT_FILE (PEM)." placeholder:"FILE"`
	InternalClientCA  string   `name:"as-internal-tls-client-ca-file" env:"AS_INTERNAL_TLS_CLIENT_CA_FILE" help:"Certificate authority of the resource server's certificate, together with AS_INTERNAL_TLS_CLIENT_SAN." placeholder:"FILE"`
	InternalClientSAN string   `name:"as-internal-tls-client-san" env:"AS_INTERNAL_TLS_CLIENT_SAN" help:"DNS name or URI that the resource server's certificate must have, exactly." placeholder:"NAME"`
	InternalClientPin []string `name:"as-internal-tls-client-sha256" env:"AS_INTERNAL_TLS_CLIENT_SHA256" help:"Instead of an authority: SHA-256, in hex, of the resource server's certificate or of its public key (SubjectPublicKeyInfo)." placeholder:"HEX"`

	RSClientID       string `name:"rs-client-id" env:"RS_CLIENT_ID" default:"latchkey-rs" help:"Client id of the resource server at the token exchange."`
	RSJWKSFile       string `name:"rs-jwks-file" env:"RS_JWKS_FILE" help:"Public keys of the resource server (JWKS)." placeholder:"FILE"`
	GoogleClientID   string `name:"google-client-id" env:"GOOGLE_CLIENT_ID" help:"OAuth client id at Google." placeholder:"ID"`
	GoogleSecret     string `name:"google-client-secret" secret:"" env:"GOOGLE_CLIENT_SECRET" help:"OAuth client secret at Google." placeholder:"SECRET"`
	GoogleSecretFile string `name:"google-client-secret-file" env:"GOOGLE_CLIENT_SECRET_FILE" help:"File that holds GOOGLE_CLIENT_SECRET." placeholder:"FILE"`
	GoogleIssuer     string `name:"google-issuer" env:"GOOGLE_ISSUER" default:"https://accounts.google.com" help:"Issuer of Google's ID tokens."`
	GoogleAuthURL    string `name:"google-auth-url" env:"GOOGLE_AUTH_URL" default:"https://accounts.google.com/o/oauth2/v2/auth" help:"Google's authorization endpoint."`
	GoogleTokenURL   string `name:"google-token-url" env:"GOOGLE_TOKEN_URL" default:"https://oauth2.googleapis.com/token" help:"Google's token endpoint."`
	GoogleJWKSURL    string `name:"google-jwks-url" env:"GOOGLE_JWKS_URL" default:"https://www.googleapis.com/oauth2/v3/certs" help:"Google's keys."`
	GoogleRevokeURL  string `name:"google-revoke-url" env:"GOOGLE_REVOKE_URL" default:"https://oauth2.googleapis.com/revoke" help:"Google's revocation endpoint."`

	GoogleSignals        string `name:"google-signals" env:"GOOGLE_SIGNALS" default:"off" enum:"off,on" help:"Whether Google's security events (Cross-Account Protection) are taken at /google/signals: off or on."`
	GoogleSignalsIssuer  string `name:"google-signals-issuer" env:"GOOGLE_SIGNALS_ISSUER" default:"https://accounts.google.com/" help:"Issuer of Google's security events; it ends in a slash."`
	GoogleSignalsJWKSURL string `name:"google-signals-jwks-url" env:"GOOGLE_SIGNALS_JWKS_URL" help:"Keys of Google's security events (default: as the RISC configuration below the issuer says)." placeholder:"URL"`

	AccessTokenTTL  time.Duration `name:"access-token-ttl" env:"ACCESS_TOKEN_TTL" default:"10m" help:"Life of an access token, 1m to 24h."`
	RefreshGrace    time.Duration `name:"refresh-grace" env:"REFRESH_GRACE" default:"60s" help:"How long a repeated refresh is answered alike, 0s to 10m."`
	SessionIdle     time.Duration `name:"session-idle" env:"SESSION_IDLE" default:"1h" help:"How long a browser session may be unused, 1m to 24h."`
	SessionAbsolute time.Duration `name:"session-absolute" env:"SESSION_ABSOLUTE" default:"24h" help:"How long a browser session lives at most, 1m to 720h."`

	ConsentProfile string `name:"consent-profile" env:"CONSENT_PROFILE" default:"full" enum:"lite,standard,full" help:"What people can be asked for: lite (nothing that Google restricts), standard (also reading mail and files, and drafts) or full."`

	ClientDocuments     string   `name:"client-documents" env:"CLIENT_DOCUMENTS" default:"open" enum:"disabled,allow-list,report-only,open" help:"Which client ID metadata documents are admitted: disabled, allow-list (known clients and CLIENT_DOCUMENT_HOSTS), report-only (all, and logs what allow-list would refuse) or open."`
	ClientDocumentHosts []string `name:"client-document-hosts" env:"CLIENT_DOCUMENT_HOSTS" help:"Exact hosts of client metadata documents to admit beside the built-in catalogue." placeholder:"HOST"`
	CustomRedirects     []string `name:"custom-redirect-uris" env:"CUSTOM_REDIRECT_URIS" help:"Exact private-use redirect URIs that clients may register, beside the built-in ones." placeholder:"URI"`
	TrustedProxies      string   `name:"trusted-proxies" env:"TRUSTED_PROXIES" help:"Networks of the reverse proxies in front of this server: only they are believed about a client's address." placeholder:"CIDR,..."`
	RateLimitScale      float64  `name:"rate-limit-scale" env:"RATE_LIMIT_SCALE" default:"1" help:"Factor on every rate limit, 0.001 to 1000; 0: none."`
	CIMDTestAllowHosts  []string `name:"cimd-test-allow-hosts" env:"CIMD_TEST_ALLOW_HOSTS" help:"Test only: host:port on loopback from which client metadata documents may come." placeholder:"HOST:PORT"`
	CIMDTestCAFile      string   `name:"cimd-test-ca-file" env:"CIMD_TEST_CA_FILE" help:"Test only: certificate authority of these hosts." placeholder:"FILE"`

	AccessTokenAlg   string        `name:"access-token-alg" env:"ACCESS_TOKEN_ALG" default:"ES256" enum:"ES256,EdDSA,RS256" help:"Algorithm of access tokens: ES256, EdDSA or RS256 (2048 bits). A change rotates the keys."`
	SigningKeyPeriod time.Duration `name:"signing-key-period" env:"SIGNING_KEY_PERIOD" default:"720h" help:"How long a signing key is used, 24h to 8760h; 0: until authserver keys rotate."`
}

// Google are the checked settings of the upstream.
type Google struct {
	ClientID     string
	ClientSecret secret.Text
	Issuer       string
	AuthURL      string
	TokenURL     string
	JWKSURL      string
	RevokeURL    string

	Signals        bool   // security events are taken
	SignalsIssuer  string // ends in a slash
	SignalsJWKSURL string // "": as the issuer's RISC configuration says
}

// InternalTLS are the checked settings of TLS at the internal listener. Resource
// servers are known by Pins, or by ClientCA and ClientSAN.
type InternalTLS struct {
	CertFile, KeyFile string
	Pins              [][sha256.Size]byte // of the certificate or its public key
	ClientCA          *x509.CertPool
	ClientSAN         string
}

// Server is the checked configuration of the server.
type Server struct {
	DatabaseURL     secret.Text
	Issuer          oauth.IssuerURL
	Resource        oauth.Resource
	Listen          string
	InternalListen  string
	AdminListen     string
	InternalURL     string
	InternalTLS     *InternalTLS // nil: plain http
	KEK             kek.Source
	FromKEK         *kek.Source // nil: none
	RSClientID      string
	RSJWKSFile      string
	Google          Google
	AccessTokenTTL  time.Duration
	RefreshGrace    time.Duration
	SessionIdle     time.Duration
	SessionAbsolute time.Duration

	Profile scope.Profile

	Documents       tenant.Admission
	CustomRedirects []string // beside registration.DefaultCustomRedirects
	Proxies         httpx.Proxies
	RateLimitScale  float64        // 0: no limits
	TestHosts       []string       // host:port; test only
	TestRoots       *x509.CertPool // nil: the system's; test only
	// Only tests, on busy machines, have other times than the defaults, which are 0.
	LimitsAskTime time.Duration // of the limiter's question
	DocumentTime  time.Duration // of a fetch
	DirectoryTTL  time.Duration // of the tenants in memory

	AccessTokenAlg   string        // ES256, EdDSA or RS256
	SigningKeyPeriod time.Duration // 0: keys change by hand only
}
