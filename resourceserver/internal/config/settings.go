package config

import (
	"crypto/x509"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

// Log are the settings of the log.
type Log struct {
	LogLevel  string `name:"log-level" env:"LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"LOG_FORMAT" default:"json" enum:"json,text" help:"Form of the log on standard error: json or text."`
}

// Serve are the settings of the server, as given: strings from outside.
type Serve struct {
	Log
	Tools
	Listen         string   `name:"rs-listen" env:"RS_LISTEN" default:"127.0.0.1:8090" help:"Address of the MCP endpoint."`
	ResourceURL    string   `name:"resource-url" env:"RESOURCE_URL" help:"MCP URL as clients know it, e.g. https://mcp.example.com/mcp; the audience of access tokens." placeholder:"URL"`
	Issuer         string   `name:"issuer" env:"ISSUER" help:"Issuer of access tokens: the authorization server, e.g. https://auth.example.com." placeholder:"URL"`
	JWKSURL        string   `name:"jwks-url" env:"JWKS_URL" help:"Keys of the authorization server (default: ISSUER/jwks). On a private network it may be http." placeholder:"URL"`
	ASInternalURL  string   `name:"as-internal-url" env:"AS_INTERNAL_URL" help:"Internal listener of the authorization server, e.g. http://127.0.0.1:8081; the same string as its AS_INTERNAL_URL." placeholder:"URL"`
	RSClientID     string   `name:"rs-client-id" env:"RS_CLIENT_ID" default:"latchkey-rs" help:"Client id at the token exchange."`
	RSKeyFile      string   `name:"rs-key-file" env:"RS_KEY_FILE" help:"Private key for the token exchange; make one with: resourceserver keys init." placeholder:"FILE"`
	InternalCA     string   `name:"as-internal-tls-ca-file" env:"AS_INTERNAL_TLS_CA_FILE" help:"Certificate authority of the authorization server's internal listener (default: the system's)." placeholder:"FILE"`
	TLSCert        string   `name:"rs-internal-tls-cert-file" env:"RS_INTERNAL_TLS_CERT_FILE" help:"Certificate that this server shows at the internal listener (PEM)." placeholder:"FILE"`
	TLSKey         string   `name:"rs-internal-tls-key-file" env:"RS_INTERNAL_TLS_KEY_FILE" help:"Key of RS_INTERNAL_TLS_CERT_FILE (PEM)." placeholder:"FILE"`
	GoogleAPIURL   string   `name:"google-api-url" env:"GOOGLE_API_URL" help:"Stand-in for every Google API host, for development (default: Google)." placeholder:"URL"`
	AllowedOrigins []string `name:"allowed-origins" env:"ALLOWED_ORIGINS" sep:"," help:"Origins of browser clients that may call, comma separated, e.g. http://localhost:6274." placeholder:"ORIGIN"`
	RateLimitScale float64  `name:"rate-limit-scale" env:"RATE_LIMIT_SCALE" default:"1" help:"Factor on every rate limit, 0.001 to 1000; 0: none."`
}

// Server is the checked configuration of the server.
type Server struct {
	Listen         string
	ListenLoopback bool // only this machine can reach the listener
	Resource       oauth.Resource
	Issuer         oauth.IssuerURL
	JWKSURL        string
	ASInternalURL  string // without trailing slash
	RSClientID     string
	RSKeyFile      string
	InternalCA     *x509.CertPool // nil: the system's
	TLSCert        string         // shown at the internal listener; "": none
	TLSKey         string
	GoogleAPIURL   string // "" is Google
	AllowedOrigins []string
	ToolPreset     tool.Preset
	Policy         policy.Policy
	RateLimitScale float64 // 0: no limits
}
