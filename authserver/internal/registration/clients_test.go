package registration_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/outbound"
	"latchkey/authserver/internal/registration"
	"latchkey/authserver/internal/tenant"
)

// kept is a store that keeps one document and no other client. It is never
// asked to change anything.
type kept struct{ document *registration.Document }

func (kept) Client(context.Context, tenant.ID, string) (*client.Client, error) {
	return nil, client.ErrNotFound
}

func (kept) TouchClient(context.Context, tenant.ID, string, time.Duration) error { return nil }

func (k kept) Document(_ context.Context, _ tenant.ID, id string) (*registration.Document, error) {
	if id != k.document.URL {
		return nil, client.ErrNotFound
	}
	return k.document, nil
}

func (kept) KeepDocument(context.Context, tenant.ID, *registration.Document) error {
	return errors.New("nothing is to be kept")
}

// never is a fetcher that must not be asked.
type never struct{ t *testing.T }

func (n never) Get(_ context.Context, r outbound.Request) (*outbound.Document, error) {
	n.t.Errorf("%s was fetched", r.URL)
	return nil, outbound.ErrRefused
}

// TestAdmissionCountsAtOnce: a tenant that no longer admits a document does not go on with a copy in memory; and what no
// address of a document can be stands in no log (MCP 2026-07-28, trust policies).
func TestAdmissionCountsAtOnce(t *testing.T) {
	t.Parallel()
	const id = "https://a.example/client.json"
	now := time.Now()
	var log bytes.Buffer
	c := registration.NewClients(registration.Config{
		Store: kept{&registration.Document{URL: id, Fetched: now, FreshUntil: now.Add(time.Hour), Body: []byte(`{"client_id":"` + id + `","client_name":"A","redirect_uris":["https://a.example/cb"]}`)}},
		Fetch: never{t}, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	with := func(mode tenant.AdmissionMode, hosts ...string) *tenant.Tenant {
		return &tenant.Tenant{ID: tenant.DefaultID, Documents: tenant.Admission{Mode: mode, Hosts: hosts}}
	}
	t.Run("AS-C16 a policy that changes counts at once", func(t *testing.T) {
		for _, row := range []struct {
			name     string
			tenant   *tenant.Tenant
			admitted bool
		}{
			{"open", with(tenant.AdmitOpen), true}, {"disabled", with(tenant.AdmitNone), false}, {"report-only", with(tenant.AdmitReportOnly), true},
			{"not listed", with(tenant.AdmitListed, "b.example"), false}, {"listed", with(tenant.AdmitListed, "a.example"), true},
			{"listed with a port", with(tenant.AdmitListed, "a.example:443"), false}, {"no mode", with(""), false},
		} {
			for name, find := range map[string]func() (*client.Client, error){
				"Client":    func() (*client.Client, error) { return c.Client(t.Context(), row.tenant, id) },
				"Introduce": func() (*client.Client, error) { return c.Introduce(t.Context(), row.tenant, id, "192.0.2.1") },
			} {
				found, err := find()
				if row.admitted && (err != nil || found.ID != id) || !row.admitted && !errors.Is(err, client.ErrNotFound) {
					t.Errorf("%s, %s: %v", row.name, name, err)
				}
			}
		}
	})
	t.Run("AS-C16 A26 report-only writes down well-formed addresses only", func(t *testing.T) {
		log.Reset()
		for _, bad := range []string{"https://alice:hunter2@b.example/x", "https://b.example/x\ny", "https://b.example/../x"} {
			if _, err := c.Introduce(t.Context(), with(tenant.AdmitReportOnly), bad, ""); !errors.Is(err, client.ErrNotFound) || log.Len() > 0 {
				t.Errorf("%q: %v, logged %s", bad, err, log.String())
			}
		}
		if _, err := c.Introduce(t.Context(), with(tenant.AdmitReportOnly), id, ""); err != nil || !bytes.Contains(log.Bytes(), []byte(id)) {
			t.Errorf("%v, logged %s", err, log.String())
		}
	})
}
