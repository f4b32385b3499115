package erasure

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/tenant"
)

// Stored is what the database has of a person.
type Stored struct {
	Tables      map[string][]map[string]any // rows by table, without secrets and sealed values
	Connections []*connection.Record        // to open the e-mail addresses
}

// ExportStore reads what is stored of a person, all at one moment. It returns
// ErrNoSubject.
type ExportStore interface {
	ExportSubject(ctx context.Context, t tenant.ID, subject uuid.UUID) (*Stored, error)
}

// Exporter writes out what is stored of a person. Every field is required.
type Exporter struct {
	Store ExportStore
	Vault connection.Sealer
	Now   func() time.Time
}

// export is the document.
type export struct {
	About    string                      `json:"about"`
	Exported time.Time                   `json:"exported_at"`
	Tenant   string                      `json:"tenant"`
	Subject  string                      `json:"subject"`
	Stored   map[string][]map[string]any `json:"stored"`
}

const aboutExport = "Everything that this service stores of you, by table. Tokens and other secrets are not in it. Your mail, files and calendars are not stored here."

// Export returns everything stored of a person as an indented JSON document,
// e-mail addresses opened: tokens, secrets and sealed bytes are not in it. It
// returns ErrNoSubject.
func (e *Exporter) Export(ctx context.Context, t tenant.ID, subject uuid.UUID) ([]byte, error) {
	s, err := e.Store.ExportSubject(ctx, t, subject)
	if err != nil {
		return nil, err
	}
	emails := map[string]string{}
	for _, c := range s.Connections {
		if emails[c.Connection.String()], err = connection.Email(ctx, e.Vault, c); err != nil {
			return nil, fmt.Errorf("opening an e-mail address: %w", err)
		}
	}
	for _, row := range s.Tables["connections"] {
		id, _ := row["id"].(string)
		row["email"] = emails[id]
	}
	return json.MarshalIndent(export{About: aboutExport, Exported: e.Now().UTC(), Tenant: t.String(), Subject: subject.String(), Stored: s.Tables}, "", "  ")
}
