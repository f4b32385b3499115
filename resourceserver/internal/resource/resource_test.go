package resource_test

import (
	"testing"

	"latchkey/resourceserver/internal/download"
	"latchkey/resourceserver/internal/resource"
	"latchkey/resourceserver/internal/upload"
)

// TestReserved: no tenant's resource stands where the server has pages of its own: it
// would be told to clients, and never answer.
func TestReserved(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/livez": true, "/readyz": true, download.Path: true, upload.Path: true, "/.well-known/oauth-protected-resource": true,
		"/mcp": false, "/upload/mcp": false, "/t/acme/mcp": false, "": false,
	} {
		if resource.Reserved(path) != want {
			t.Errorf("%q: %v", path, !want)
		}
	}
}
