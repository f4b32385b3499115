package config_test

import (
	"strings"
	"testing"

	"latchkey/deploy/dev/testcert"
	"latchkey/resourceserver/internal/config"
)

func valid() config.Serve {
	return config.Serve{Listen: "127.0.0.1:8090", ResourceURL: "https://mcp.example.com/mcp", Issuer: "https://auth.example.com", ASInternalURL: "http://authserver:8081/", RSClientID: "rs", RSKeyFile: "k", Tools: config.Tools{ToolPreset: "core", SendPolicy: "confirm", ExternalShare: "block", Confirmation: "page"}}
}

// TestEveryProblemAtOnce: one start names everything that has to be mended.
func TestEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Serve{Listen: "nonsense", GoogleAPIURL: "ftp://x", AllowedOrigins: []string{"*"}, Tools: config.Tools{ToolPreset: "all", SendPolicy: "yes", RecipientDomains: []string{"*.example.com"}}}.Check()
	if err == nil {
		t.Fatal("empty settings accepted")
	}
	for _, name := range []string{"RS_LISTEN", "RESOURCE_URL", "ISSUER", "AS_INTERNAL_URL", "RS_CLIENT_ID", "RS_KEY_FILE", "GOOGLE_API_URL", "ALLOWED_ORIGINS", "TOOL_PRESET", "SEND_POLICY", "RECIPIENT_DOMAINS", "EXTERNAL_SHARE", "CONFIRMATION"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not reported in: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*config.Serve)
		want   string // part of the error, "" for none
	}{
		"valid":                          {func(*config.Serve) {}, ""},
		"resource with a trailing slash": {func(s *config.Serve) { s.ResourceURL += "/" }, "RESOURCE_URL"},
		"http resource beyond loopback":  {func(s *config.Serve) { s.ResourceURL = "http://mcp.example.com/mcp" }, "RESOURCE_URL"},
		"resource on a path of ours":     {func(s *config.Serve) { s.ResourceURL = "https://mcp.example.com/readyz" }, "needs for itself"},
		"resource without a path":        {func(s *config.Serve) { s.ResourceURL = "https://mcp.example.com" }, ""},
		"keys over a private network":    {func(s *config.Serve) { s.JWKSURL = "http://authserver:8080/jwks" }, ""},
		"Google over http":               {func(s *config.Serve) { s.GoogleAPIURL = "http://google.example" }, "must be https"},
		"Google on loopback":             {func(s *config.Serve) { s.GoogleAPIURL = "http://127.0.0.1:9" }, ""},
		"no rate limits":                 {func(s *config.Serve) { s.RateLimitScale = 0 }, ""},
		"rate limits below all":          {func(s *config.Serve) { s.RateLimitScale = -1 }, "RATE_LIMIT_SCALE"},
		"wildcard origin":                {func(s *config.Serve) { s.AllowedOrigins = []string{"https://*.example.com"} }, "wildcard"},
		"origin with a path":             {func(s *config.Serve) { s.AllowedOrigins = []string{"https://a.example/"} }, "not an origin"},
		"recipient domains":              {func(s *config.Serve) { s.RecipientDomains = []string{"Example.com", " bücher.example", ""} }, ""},
		"recipient with a wildcard":      {func(s *config.Serve) { s.RecipientDomains = []string{"*.example.com"} }, "RECIPIENT_DOMAINS"},
		"recipient that is an address":   {func(s *config.Serve) { s.RecipientDomains = []string{"a@example.com"} }, "RECIPIENT_DOMAINS"},
		"origins":                        {func(s *config.Serve) { s.AllowedOrigins = []string{" http://localhost:6274", ""} }, ""},
	} {
		s := valid()
		c.change(&s)
		out, err := s.Check()
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (out.ASInternalURL != "http://authserver:8081" || !out.ListenLoopback || !strings.HasSuffix(out.JWKSURL, "/jwks")) {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

// TestInternalTLS: certificates are for https, and half of a pair is a mistake.
func TestInternalTLS(t *testing.T) {
	t.Parallel()
	ca := testcert.New(t)
	for name, c := range map[string]struct {
		change func(*config.Serve)
		want   string // part of the error, "" for none
	}{
		"certificate without its key":  {func(s *config.Serve) { s.ASInternalURL, s.TLSCert = "https://as", "c" }, "belong together"},
		"certificates over plain http": {func(s *config.Serve) { s.TLSCert, s.TLSKey = "c", "k" }, "must be https"},
		"an authority over plain http": {func(s *config.Serve) { s.InternalCA = ca.File }, "must be https"},
		"an authority that is none":    {func(s *config.Serve) { s.ASInternalURL, s.InternalCA = "https://as", "check_test.go" }, "AS_INTERNAL_TLS_CA_FILE"},
		"certificate, key, authority": {func(s *config.Serve) {
			s.ASInternalURL, s.TLSCert, s.TLSKey, s.InternalCA = "https://as", "c", "k", ca.File
		}, ""},
		"https, the system's authority": {func(s *config.Serve) { s.ASInternalURL = "https://as" }, ""},
	} {
		s := valid()
		c.change(&s)
		out, err := s.Check()
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && ((out.InternalCA != nil) != (s.InternalCA != "") || out.TLSCert != s.TLSCert || out.TLSKey != s.TLSKey) {
			t.Errorf("%s: %+v", name, out)
		}
	}
}
