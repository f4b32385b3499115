package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// Scopes of the API.
const (
	TenantsRead      = "tenants:read"
	TenantsWrite     = "tenants:write"
	TenantsErase     = "tenants:erase"
	TenantsExport    = "tenants:export" // all rows of a tenant, without secrets and addresses
	ClientsRead      = "clients:read"
	ClientsWrite     = "clients:write"
	ConnectionsRead  = "connections:read"
	ConnectionsWrite = "connections:write"
	GrantsRead       = "grants:read"
	GrantsWrite      = "grants:write"
	RevocationsRead  = "revocations:read"
	RevocationsWrite = "revocations:write" // grants, sessions and Google accounts of many people at once
	SessionsRead     = "sessions:read"
	SessionsWrite    = "sessions:write"
	KeysRead         = "keys:read"
	KeysWrite        = "keys:write"
	AuditRead        = "audit:read"
	SubjectsRead     = "subjects:read" // export: all that is stored of a person
	SubjectsErase    = "subjects:erase"
)

// AllScopes are all of them.
func AllScopes() oauth.Scopes {
	return oauth.NewScopes(TenantsRead, TenantsWrite, TenantsErase, TenantsExport, ClientsRead, ClientsWrite, ConnectionsRead, ConnectionsWrite, GrantsRead, GrantsWrite, RevocationsRead, RevocationsWrite,
		SessionsRead, SessionsWrite, KeysRead, KeysWrite, AuditRead, SubjectsRead, SubjectsErase)
}

// everywhereOnly are those that only an administrator of the deployment may have.
var everywhereOnly = oauth.NewScopes(TenantsErase)

// TenantScopes are those that an administrator of one tenant may have.
func TenantScopes() oauth.Scopes { return AllScopes().Minus(everywhereOnly) }

// Administrator is a client of the API. It has a secret or keys, never both.
type Administrator struct {
	ID         string
	Tenant     tenant.ID // the one that it reaches; of the deployment: the default tenant
	Everywhere bool      // of the deployment: it reaches every tenant
	Name       string    // for operators
	Scopes     oauth.Scopes
	SecretHash []byte          // SHA-256 of the secret; nil with keys
	JWKS       json.RawMessage // public keys; nil with a secret
	Created    time.Time
	Used       time.Time // last token; zero: never
}

// Method is how the administrator proves itself.
func (a *Administrator) Method() oauth.AuthMethod {
	if a.JWKS != nil {
		return oauth.AuthPrivateKeyJWT
	}
	return oauth.AuthSecretBasic
}

// ErrNoAdministrator says that there is no such administrator.
var ErrNoAdministrator = errors.New("there is no such administrator")

// Administrators is where administrators are stored. Each method that changes
// something is one transaction with its audit event.
type Administrators interface {
	// Administrator returns ErrNoAdministrator.
	Administrator(ctx context.Context, id string) (*Administrator, error)
	// UseAdministrator notes a token, and uses the assertion up if there is one. It
	// returns client.ErrAssertionUsed.
	UseAdministrator(ctx context.Context, a *Administrator, assertion *client.AssertionID, scopes oauth.Scopes) error
}

// maxName bounds an administrator's name, in characters.
const maxName = 100

// idPrefix tells an administrator from the clients of tenants.
const idPrefix = "adm_"

// NewAdministrator makes an administrator of a tenant, or of the deployment for
// the zero tenant. Without keys it gets a secret, which is shown once. An error
// says what to correct.
func NewAdministrator(name string, of tenant.ID, scopes oauth.Scopes, jwks []byte) (*Administrator, secret.Text, error) {
	a := &Administrator{ID: idPrefix + strings.ToLower(rand.Text()), Tenant: of, Name: name, Scopes: scopes}
	if of.IsZero() {
		a.Tenant, a.Everywhere = tenant.DefaultID, true
	}
	unknown := scopes.Minus(AllScopes())
	switch {
	case name == "" || len([]rune(name)) > maxName:
		return nil, secret.Text{}, fmt.Errorf("give a name of 1 to %d characters", maxName)
	case !unknown.Empty():
		return nil, secret.Text{}, fmt.Errorf("there is no scope %s; there are: %s", unknown, AllScopes())
	case scopes.Empty():
		return nil, secret.Text{}, fmt.Errorf("give scopes out of: %s", AllScopes())
	case !a.Everywhere && !scopes.Intersect(everywhereOnly).Empty():
		return nil, secret.Text{}, fmt.Errorf("%s is for administrators of the whole deployment only", everywhereOnly)
	}
	if jwks == nil {
		var value secret.Text
		value, a.SecretHash = client.NewSecret()
		return a, value, nil
	}
	if _, err := clientauth.ParseKeySet(jwks); err != nil {
		return nil, secret.Text{}, err
	}
	a.JWKS = jwks
	return a, secret.Text{}, nil
}
