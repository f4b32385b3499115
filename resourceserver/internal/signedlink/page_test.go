package signedlink_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"latchkey/resourceserver/internal/signedlink"
)

// TestSay: a browser gets a page that says the same as the text, and in which nothing of
// it is HTML; whatever asks for no HTML gets the text alone.
func TestSay(t *testing.T) {
	t.Parallel()
	const firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
	for accept, page := range map[string]bool{
		firefox: true, "TEXT/HTML;q=0.5": true, "application/json, text/html": true,
		"": false, "*/*": false, "text/*": false, "text/plain": false, "text/html;q=0": false, "text/html;q=0.000, text/plain": false, "text/htmlx": false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		w := httptest.NewRecorder()
		signedlink.Headers(w)
		(&signedlink.Refusal{Status: http.StatusTooManyRequests, RetryAfter: 7, Text: "Not <script>now</script>."}).Say(w, r)
		kind, policy, body := w.Header().Get("Content-Type"), w.Header().Get("Content-Security-Policy"), w.Body.String()
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "7" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", accept, w.Code, w.Header())
		}
		if !page {
			if kind != "text/plain; charset=utf-8" || body != "Not <script>now</script>.\n" || policy != "default-src 'none'; sandbox" {
				t.Errorf("%s: %s %s %q", accept, kind, policy, body)
			}
			continue
		}
		if kind != "text/html; charset=utf-8" || !strings.Contains(body, "<h1>This did not work</h1>\n<p>Not &lt;script&gt;now&lt;/script&gt;.</p>") || strings.Contains(body, "<script") ||
			!strings.Contains(policy, "default-src 'none'; style-src 'sha256-") || !strings.Contains(policy, "form-action 'none'") {
			t.Errorf("%s: %s %s %q", accept, kind, policy, body)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", nil)
	r.Header.Set("Accept", firefox)
	w := httptest.NewRecorder()
	signedlink.Say(w, r, http.StatusCreated, "Uploaded a<b.")
	if w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), "<h1>Done</h1>\n<p>Uploaded a&lt;b.</p>") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}
