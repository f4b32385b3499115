package registration

import (
	"net/url"
	"strings"

	"latchkey/authserver/internal/tenant"
)

// catalogue are the publishers whose documents are known: an exact host, and
// the path below which they publish (PROTOCOL 3.2). Being listed says who is
// behind a client, nothing about what it does.
var catalogue = []struct{ host, path, publisher string }{
	{"claude.ai", "/oauth/", "Anthropic"},
	{"claude.com", "/oauth/", "Anthropic"},
	{"chatgpt.com", "/oauth/", "OpenAI"},
	{"vscode.dev", "/oauth/", "Microsoft"},
	{"insiders.vscode.dev", "/oauth/", "Microsoft"},
}

// publisherOf names the publisher of a document, "" for a stranger's.
func publisherOf(documentURL string) string {
	rest, ok := strings.CutPrefix(documentURL, "https://")
	if !ok {
		return ""
	}
	for _, c := range catalogue {
		if strings.HasPrefix(rest, c.host+c.path) {
			return c.publisher
		}
	}
	return ""
}

// listed reports whether a document is in the catalogue or at a host that the
// tenant lists. Hosts are compared exactly, with their port.
func listed(a tenant.Admission, documentURL string) bool {
	if publisherOf(documentURL) != "" {
		return true
	}
	u, err := url.Parse(documentURL)
	if err != nil {
		return false
	}
	for _, host := range a.Hosts {
		if u.Host == host {
			return true
		}
	}
	return false
}
