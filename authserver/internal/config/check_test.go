package config_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/authserver/internal/config"
	"latchkey/deploy/dev/testcert"
)

func valid() config.Serve {
	return config.Serve{
		Database: config.Database{DatabaseURL: "postgres://u@/db?host=/run/pg"},
		Issuer:   "https://auth.example.com", ResourceURL: "https://mcp.example.com/mcp",
		Listen: "127.0.0.1:1", InternalListen: "127.0.0.1:2", AdminListen: "127.0.0.1:3",
		KEK: config.KEK{KEKFile: "kek.json"}, RSClientID: "rs", RSJWKSFile: "rs.json", GoogleClientID: "id", GoogleSecret: "s",
		GoogleIssuer: "https://accounts.google.com", GoogleAuthURL: "https://a.example/auth", GoogleTokenURL: "https://a.example/token",
		GoogleJWKSURL: "https://a.example/certs", GoogleRevokeURL: "https://a.example/revoke",
		AccessTokenTTL: 10 * time.Minute, RefreshGrace: time.Minute, SessionIdle: time.Hour, SessionAbsolute: 24 * time.Hour, ConsentProfile: "full",
	}
}

// TestEveryProblemAtOnce: one start names everything that has to be mended.
func TestEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Serve{Listen: "nonsense", InternalListen: "127.0.0.1:2", AdminListen: "127.0.0.1:3"}.Check()
	if err == nil {
		t.Fatal("empty settings accepted")
	}
	for _, name := range []string{"DATABASE_URL", "ISSUER", "RESOURCE_URL", "AS_LISTEN", "KEK_FILE", "RS_JWKS_FILE", "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "ACCESS_TOKEN_TTL"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not reported in: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	t.Run("AS-D3 AS-D11 the issuer is a bare https origin, http on loopback only", check)
}

func check(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*config.Serve)
		want   string // part of the error, "" for none
	}{
		"valid":                        {func(*config.Serve) {}, ""},
		"http issuer beyond loopback":  {func(s *config.Serve) { s.Issuer = "http://auth.example.com" }, "ISSUER"},
		"http issuer on loopback":      {func(s *config.Serve) { s.Issuer = "http://127.0.0.1:8080" }, ""},
		"issuer with a path":           {func(s *config.Serve) { s.Issuer = "https://auth.example.com/x" }, "bare origin"},
		"issuer with a trailing slash": {func(s *config.Serve) { s.Issuer += "/" }, "trailing slash"},
		"secret twice":                 {func(s *config.Serve) { s.GoogleSecretFile = "x" }, "keep one"},
		"secret file missing":          {func(s *config.Serve) { s.GoogleSecret, s.GoogleSecretFile = "", "no-such-file" }, "GOOGLE_CLIENT_SECRET_FILE"},
		"two keys":                     {func(s *config.Serve) { s.KEKURI = "hcvault://vault.example.com/transit/keys/latchkey" }, "KEK_FILE and KEK_URI are both set"},
		"no key":                       {func(s *config.Serve) { s.KEKFile = "" }, "neither KEK_FILE nor KEK_URI"},
		"key in Vault": {func(s *config.Serve) {
			s.KEKFile, s.KEKURI = "", "hcvault://vault.example.com:8200/team/transit/keys/latchkey"
		}, ""},
		"key in Google Cloud KMS": {func(s *config.Serve) {
			s.KEKFile, s.KEKURI = "", "gcp-kms://projects/p/locations/eu/keyRings/r/cryptoKeys/k"
		}, ""},
		"one version of a key": {func(s *config.Serve) {
			s.KEKFile, s.KEKURI = "", "gcp-kms://projects/p/locations/eu/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
		}, "KEK_URI must be gcp-kms://"},
		"key in AWS KMS": {func(s *config.Serve) {
			s.KEKFile, s.KEKURI = "", "aws-kms://arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
		}, ""},
		"an alias, which may move": {func(s *config.Serve) {
			s.KEKFile, s.KEKURI = "", "aws-kms://arn:aws:kms:eu-west-1:111122223333:alias/latchkey"
		}, "KEK_URI must be aws-kms://"},
		"key of an unknown service":          {func(s *config.Serve) { s.KEKFile, s.KEKURI = "", "azure-kv://x" }, "KEK_URI must begin with"},
		"Vault with a password in the URI":   {func(s *config.Serve) { s.KEKFile, s.KEKURI = "", "hcvault://u:p@vault.example.com/transit/keys/k" }, "KEK_URI must be hcvault://"},
		"a change of keys":                   {func(s *config.Serve) { s.FromKEKURI = "hcvault://vault.example.com/transit/keys/k" }, ""},
		"a change of keys, from two":         {func(s *config.Serve) { s.FromKEKFile, s.FromKEKURI = "x", "hcvault://vault.example.com/transit/keys/k" }, "FROM_KEK_FILE and FROM_KEK_URI"},
		"Google over http":                   {func(s *config.Serve) { s.GoogleTokenURL = "http://a.example/token" }, "must be https"},
		"access tokens that live too long":   {func(s *config.Serve) { s.AccessTokenTTL = 48 * time.Hour }, "ACCESS_TOKEN_TTL"},
		"keys that never rest":               {func(s *config.Serve) { s.SigningKeyPeriod = time.Hour }, "SIGNING_KEY_PERIOD"},
		"keys rotated by hand only":          {func(s *config.Serve) { s.SigningKeyPeriod = 0 }, ""},
		"signals are off unless asked for":   {func(s *config.Serve) { s.GoogleSignalsIssuer = "nonsense" }, ""},
		"signals":                            {func(s *config.Serve) { s.GoogleSignals, s.GoogleSignalsIssuer = "on", "https://accounts.google.com/" }, ""},
		"signals from nobody":                {func(s *config.Serve) { s.GoogleSignals = "on" }, "GOOGLE_SIGNALS_ISSUER"},
		"signals of the issuer of ID tokens": {func(s *config.Serve) { s.GoogleSignals, s.GoogleSignalsIssuer = "on", "https://accounts.google.com" }, "end in a slash"},
		"signals over http":                  {func(s *config.Serve) { s.GoogleSignals, s.GoogleSignalsIssuer = "on", "http://accounts.google.com/" }, "must be https"},
		"keys of signals over http": {func(s *config.Serve) {
			s.GoogleSignals, s.GoogleSignalsIssuer, s.GoogleSignalsJWKSURL = "on", "https://accounts.google.com/", "http://a.example/certs"
		}, "GOOGLE_SIGNALS_JWKS_URL"},
		"no rate limits":                          {func(s *config.Serve) { s.RateLimitScale = 0 }, ""},
		"rate limits that lock everyone out":      {func(s *config.Serve) { s.RateLimitScale = 0.0001 }, "RATE_LIMIT_SCALE"},
		"rate limits that are no limits":          {func(s *config.Serve) { s.RateLimitScale = 1001 }, "RATE_LIMIT_SCALE"},
		"rate limits that are negative":           {func(s *config.Serve) { s.RateLimitScale = -1 }, "RATE_LIMIT_SCALE"},
		"rate limits that are no number":          {func(s *config.Serve) { s.RateLimitScale = math.NaN() }, "RATE_LIMIT_SCALE"},
		"a profile that does not exist":           {func(s *config.Serve) { s.ConsentProfile = "everything" }, "CONSENT_PROFILE"},
		"internal URL on a private network, http": {func(s *config.Serve) { s.InternalURL = "http://authserver:8081" }, ""},
	} {
		s := valid()
		c.change(&s)
		_, err := s.Check()
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSecretFile: a trailing newline, as editors leave it, is not part of the secret.
func TestSecretFile(t *testing.T) {
	t.Parallel()
	f := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(f, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := valid()
	s.GoogleSecret, s.GoogleSecretFile = "", f
	c, err := s.Check()
	if err != nil {
		t.Fatal(err)
	}
	if c.Google.ClientSecret.Reveal() != "s3cret" {
		t.Error("secret file read wrongly")
	}
}

// TestInternalTLS: half of the settings is a mistake and never less protection than was meant.
func TestInternalTLS(t *testing.T) {
	t.Parallel()
	ca := testcert.New(t)
	pin := strings.Repeat("0a", 32)
	for name, c := range map[string]struct {
		change func(*config.Serve)
		want   string // part of the error, "" for none
	}{
		"pin":                  {func(s *config.Serve) { s.InternalClientPin = []string{pin} }, ""},
		"two pins":             {func(s *config.Serve) { s.InternalClientPin = []string{pin, strings.Repeat("0B", 32)} }, ""},
		"authority and name":   {func(s *config.Serve) { s.InternalClientCA, s.InternalClientSAN = ca.File, "rs" }, ""},
		"nobody may come":      {func(s *config.Serve) {}, "say which resource servers"},
		"authority alone":      {func(s *config.Serve) { s.InternalClientCA = ca.File }, "belong together"},
		"name alone":           {func(s *config.Serve) { s.InternalClientSAN = "rs" }, "belong together"},
		"pin and name":         {func(s *config.Serve) { s.InternalClientPin, s.InternalClientSAN = []string{pin}, "rs" }, "say which resource servers"},
		"pin and authority":    {func(s *config.Serve) { s.InternalClientPin, s.InternalClientCA = []string{pin}, ca.File }, "say which resource servers"},
		"short pin":            {func(s *config.Serve) { s.InternalClientPin = []string{pin[2:]} }, "64 hexadecimal digits"},
		"pin with colons":      {func(s *config.Serve) { s.InternalClientPin = []string{"0a:" + pin[3:]} }, "64 hexadecimal digits"},
		"no such authority":    {func(s *config.Serve) { s.InternalClientCA, s.InternalClientSAN = "no-such-file", "rs" }, "AS_INTERNAL_TLS_CLIENT_CA_FILE"},
		"key missing":          {func(s *config.Serve) { s.InternalTLSKey = "" }, "AS_INTERNAL_TLS_KEY_FILE"},
		"certificate missing":  {func(s *config.Serve) { s.InternalTLSCert = "" }, "AS_INTERNAL_TLS_CERT_FILE"},
		"client settings only": {func(s *config.Serve) { s.InternalTLSCert, s.InternalTLSKey, s.InternalClientSAN = "", "", "rs" }, "need both"},
		"plain URL":            {func(s *config.Serve) { s.InternalClientPin, s.InternalURL = []string{pin}, "http://10.0.0.1:8081" }, "must be https"},
	} {
		s := valid()
		s.InternalTLSCert, s.InternalTLSKey = "cert.pem", "key.pem"
		c.change(&s)
		got, err := s.Check()
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (got.InternalTLS == nil || got.InternalURL != "https://127.0.0.1:2") {
			t.Errorf("%s: %+v at %s", name, got.InternalTLS, got.InternalURL)
		}
	}
	s := valid()
	if got, err := s.Check(); err != nil || got.InternalTLS != nil || got.InternalURL != "http://127.0.0.1:2" {
		t.Errorf("without the settings: %v", err)
	}
}
