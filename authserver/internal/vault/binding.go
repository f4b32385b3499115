package vault

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/secret"
)

// Purpose says what a sealed value is; it is part of the associated data.
type Purpose string

const (
	RefreshToken         Purpose = "refresh_token"
	AccessToken          Purpose = "access_token"
	Email                Purpose = "email"
	SigningKey           Purpose = "signing_key"
	AuthorizationRequest Purpose = "authorization_request"
	UpstreamSecret       Purpose = "upstream_client_secret"
	ApprovalQuestion     Purpose = "approval_question"
	Cursor               Purpose = "admin_cursor" // never stored
)

// Binding is the place of a sealed value. What was sealed for one place opens
// at no other.
type Binding struct {
	Tenant     tenant.ID
	Subject    uuid.UUID    // zero for tenant-wide values
	Person     secret.Bytes // the subject's secret, 32 bytes; empty for tenant-wide values
	Connection uuid.UUID    // zero for tenant-wide values
	Purpose    Purpose
	Context    string // e.g. a key id; at most 255 bytes
}

const personSize = 32

func (b Binding) check() error {
	if b.Tenant.IsZero() || b.Purpose == "" || len(b.Context) > 255 {
		return errors.New("binding needs a tenant and a purpose, and a context of at most 255 bytes")
	}
	if !b.Person.Empty() && (b.Subject == uuid.Nil || len(b.Person.Reveal()) != personSize) {
		return errors.New("binding has a person's secret of another size, or of no person")
	}
	return nil
}

// associated is the binding in bytes. Every variable part has its length
// before it, so no two bindings are alike, nor is one of them at two formats.
func (b Binding) associated(format byte, key uuid.UUID) []byte {
	t := b.Tenant.UUID()
	var out bytes.Buffer
	out.WriteString("latchkey vault v")
	out.WriteByte('0' + format)
	for _, part := range [][]byte{t[:], b.Subject[:], b.Connection[:], key[:], []byte(b.Purpose), []byte(b.Context)} {
		out.Write(binary.BigEndian.AppendUint16(nil, uint16(len(part)))) //nolint:gosec // bounded by check
		out.Write(part)
	}
	return out.Bytes()
}
