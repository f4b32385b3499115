package session_test

import (
	"strings"
	"testing"

	"latchkey/authserver/internal/session"
)

// TestDescribe: a browser in a few words of ours, and nothing of what it sent.
func TestDescribe(t *testing.T) {
	t.Parallel()
	for userAgent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                          "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0":       "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":           "Safari on Mac",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile Safari/604.1": "Chrome on iPhone",
		"Mozilla/5.0 (Linux; Android 15; Pixel) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36":                 "Chrome on Android",
		"curl/8": "A browser", "": "A browser", "<script>alert(1)</script>" + strings.Repeat("x", 5000): "A browser",
	} {
		if got := session.Describe(userAgent); got != want {
			t.Errorf("%.60s: %q", userAgent, got)
		}
	}
}
