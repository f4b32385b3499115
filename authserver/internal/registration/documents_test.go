package registration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/registration"
	"latchkey/pkg/oauth"
)

// TestDocumentsOfRealClients: the metadata documents that real clients publish (PROTOCOL 3.2), read as they need it: who
// publishes them, how they authenticate, and where their people return to.
func TestDocumentsOfRealClients(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/documents/*.json")
	if err != nil || len(files) < 6 {
		t.Fatal(len(files), err)
	}
	type read struct {
		Publisher       string                 `json:"publisher"`
		Name            string                 `json:"name"`
		AuthMethod      oauth.AuthMethod       `json:"auth_method"`
		AlsoNone        bool                   `json:"also_none"`
		GrantTypes      []oauth.GrantType      `json:"grant_types"`
		ApplicationType client.ApplicationType `json:"application_type"`
		JWKSURI         string                 `json:"jwks_uri"`
		RedirectURIs    []string               `json:"redirect_uris"`
	}
	for _, file := range files {
		t.Run("AS-C1 AS-C4 AS-C8 AS-C10 AS-C19 "+filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var golden struct {
				Document json.RawMessage
				Client   read
				Returns  []string // redirect URIs that its requests have
				Refuses  []string
			}
			if err := json.Unmarshal(b, &golden); err != nil {
				t.Fatal(err)
			}
			var id struct {
				ClientID string `json:"client_id"`
			}
			if err := json.Unmarshal(golden.Document, &id); err != nil {
				t.Fatal(err)
			}
			if err := registration.CheckDocumentURL(id.ClientID); err != nil || len(golden.Document) > registration.MaxDocument {
				t.Fatal(err, len(golden.Document))
			}
			c, err := registration.ParseDocument(id.ClientID, golden.Document, registration.DefaultCustomRedirects)
			if err != nil {
				t.Fatal(err)
			}
			if got := (read{c.Publisher, c.Name, c.AuthMethod, c.AlsoNone, c.GrantTypes, c.ApplicationType, c.JWKSURI, c.RedirectURIs}); !reflect.DeepEqual(got, golden.Client) {
				t.Errorf("\n got %+v\nwant %+v", got, golden.Client)
			}
			sound(t, c)
			for _, uri := range golden.Returns {
				if !c.MatchRedirect(uri) {
					t.Errorf("cannot return to %s", uri)
				}
			}
			for _, uri := range golden.Refuses {
				if c.MatchRedirect(uri) {
					t.Errorf("may return to %s", uri)
				}
			}
		})
	}
}
