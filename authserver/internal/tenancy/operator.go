package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/google/uuid"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/upstream"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// What an operator asked for and cannot have.
var (
	ErrNotFound = errors.New("there is no such tenant")
	// ErrTaken says that slug, host or resource belong to another tenant.
	ErrTaken = errors.New("slug, host or resource belongs to another tenant")
	// ErrChanged says that somebody else changed the tenant meanwhile.
	ErrChanged = errors.New("the tenant was changed meanwhile: look at it again")
	// ErrNotSuspended refuses an erasure.
	ErrNotSuspended = errors.New("the tenant is not suspended: suspend it first")
)

// InvalidError says that what an operator asked for cannot be done as it is; the
// text says why. Any other error that is none of the above is doubt.
type InvalidError struct{ Reason error }

func (e *InvalidError) Error() string { return e.Reason.Error() }

// Unwrap returns the reason.
func (e *InvalidError) Unwrap() error { return e.Reason }

// Invalid is an InvalidError with a text.
func Invalid(format string, args ...any) error {
	return &InvalidError{fmt.Errorf(format, args...)}
}

// Store keeps tenants. Each change is one transaction and takes place only if
// the record's generation is still the stored one; else it returns ErrChanged.
type Store interface {
	Tenants(ctx context.Context) ([]Record, error)
	// CreateTenant returns ErrTaken.
	CreateTenant(ctx context.Context, r Record) error
	// UpdateTenant writes name, status, policy, upstream, host and resources, and
	// records the acts beside the change. It returns ErrTaken.
	UpdateTenant(ctx context.Context, r Record, acts ...Act) error
	// ActivateClient retires the client in use and makes c, whose generation is one
	// more than the last, the tenant's own.
	ActivateClient(ctx context.Context, r Record, c Client, sealed []byte) error
	// RetireClient ends the tenant's own client and lets it use the deployment's.
	RetireClient(ctx context.Context, r Record) error
}

// Operator makes and changes tenants, for the commands and for an API. Every
// field is required where it is used: Vault for Google clients, Known for approvals.
type Operator struct {
	Store      Store
	Deployment Deployment
	Vault      upstream.Sealer
	// Known finds a client of a tenant by its id, without asking anybody outside; it
	// returns client.ErrNotFound.
	Known func(ctx context.Context, t tenant.ID, id string) (*client.Client, error)
}

// Change is what an operator enters; nil leaves it as it is.
type Change struct {
	Name      *string
	Host      *string // "": below the deployment's issuer again
	Policy    *tenant.Policy
	Resources []Resource // nil: as it is
}

// maxName bounds a tenant's name, in bytes.
const maxName = 200

var slugForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`) // the same as in the database

// Find returns the tenant with a slug, or ErrNotFound.
func (o *Operator) Find(ctx context.Context, slug string) (*Record, error) {
	all, err := o.Store.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Slug == slug {
			return &r, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrNotFound, slug)
}

// List returns every tenant, by slug.
func (o *Operator) List(ctx context.Context) ([]Record, error) {
	all, err := o.Store.Tenants(ctx)
	slices.SortFunc(all, func(a, b Record) int {
		if a.Slug < b.Slug {
			return -1
		}
		return 1
	})
	return all, err
}

// Create makes a tenant. Without resources it gets one below the deployment's
// own: https://mcp.example.com/t/<slug>/mcp.
func (o *Operator) Create(ctx context.Context, slug string, c Change) (*Record, error) {
	if !slugForm.MatchString(slug) {
		return nil, Invalid("slug %q: use 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit", slug)
	}
	r := Record{ID: tenant.FromUUID(uuid.Must(uuid.NewV7())), Slug: slug, Status: tenant.Active, Upstream: OfDeployment, Policy: []byte("{}"), Generation: 1}
	if c.Resources == nil {
		c.Resources = []Resource{{URL: o.Deployment.Resource.Origin() + "/t/" + slug + o.Deployment.Resource.Path()}}
	}
	if err := o.apply(ctx, &r, c); err != nil {
		return nil, err
	}
	if err := o.Store.CreateTenant(ctx, r); err != nil {
		return nil, err
	}
	return o.Find(ctx, slug)
}

// Update changes a tenant as it stands.
func (o *Operator) Update(ctx context.Context, slug string, c Change) (*Record, error) {
	r, err := o.Find(ctx, slug)
	if err != nil {
		return nil, err
	}
	return o.UpdateFrom(ctx, r, c)
}

// UpdateFrom changes a tenant that was found; ErrChanged when it is another by
// now.
func (o *Operator) UpdateFrom(ctx context.Context, r *Record, c Change) (*Record, error) {
	changed := *r
	if err := o.apply(ctx, &changed, c); err != nil {
		return nil, err
	}
	return o.write(ctx, changed, approvalActs(r.Policy, changed.Policy)...)
}

func (o *Operator) write(ctx context.Context, r Record, acts ...Act) (*Record, error) {
	if err := o.Store.UpdateTenant(ctx, r, acts...); err != nil {
		return nil, err
	}
	return o.Find(ctx, r.Slug)
}

// Suspend ends all that a tenant's people do here, until Resume: no sign-in, no
// token, no exchange, and resource servers refuse its tokens. Nothing is deleted.
func (o *Operator) Suspend(ctx context.Context, slug string) (*Record, error) {
	return o.setStatus(ctx, slug, tenant.Suspended)
}

// Resume ends a suspension.
func (o *Operator) Resume(ctx context.Context, slug string) (*Record, error) {
	return o.setStatus(ctx, slug, tenant.Active)
}

func (o *Operator) setStatus(ctx context.Context, slug string, s tenant.Status) (*Record, error) {
	r, err := o.Find(ctx, slug)
	if err != nil {
		return nil, err
	}
	r.Status = s
	return o.write(ctx, *r)
}

// apply checks a change and that a server can read what comes of it.
func (o *Operator) apply(ctx context.Context, r *Record, c Change) error {
	isDefault := r.ID == tenant.DefaultID
	if c.Name != nil {
		if r.Name = *c.Name; len(r.Name) > maxName {
			return Invalid("the name is longer than %d bytes", maxName)
		}
	}
	if c.Host != nil {
		r.Host = *c.Host
		switch {
		case isDefault:
			return Invalid("the default tenant's issuer is the setting ISSUER")
		case r.Host != "" && !tenant.ValidHost(r.Host):
			return Invalid("host %q: give a name in lower case, such as auth.acme.example", r.Host)
		case r.Host != "" && r.Host == hostOf(o.Deployment.Issuer):
			return Invalid("host %q is the deployment's own", r.Host)
		}
	}
	if c.Policy != nil {
		b, err := json.Marshal(c.Policy)
		if err != nil {
			return fmt.Errorf("encoding policy: %w", err)
		}
		r.Policy = b
	}
	if c.Resources != nil {
		if isDefault {
			return Invalid("the default tenant's resource is the setting RESOURCE_URL")
		}
		r.Resources = c.Resources
	}
	t, err := o.Deployment.Tenant(*r)
	if err != nil {
		return &InvalidError{err}
	}
	if isDefault {
		return nil
	}
	for i := range r.Resources { // those of products, which come after them, are not stored
		if len(r.Resources[i].Aliases) == 0 {
			r.Resources[i].Aliases = tenant.DefaultAliases(t.Resources[i].Canonical, false)
		}
	}
	return o.room(ctx, *r)
}

// room returns ErrTaken when a server would leave the tenant out because it claims
// what is another's.
func (o *Operator) room(ctx context.Context, r Record) error {
	all, err := o.Store.Tenants(ctx)
	if err != nil {
		return err
	}
	all = append(slices.DeleteFunc(all, func(x Record) bool { return x.ID == r.ID }), r)
	d, problems, err := o.Deployment.Directory(all)
	if err != nil {
		return err
	}
	if _, served := d.ByID(r.ID); !served {
		return fmt.Errorf("%w: %w", ErrTaken, errors.Join(problems...))
	}
	return nil
}

func hostOf(i oauth.IssuerURL) string {
	for _, scheme := range []string{"https://", "http://"} {
		if o := i.Origin(); len(o) > len(scheme) && o[:len(scheme)] == scheme {
			return o[len(scheme):]
		}
	}
	return ""
}

// GoogleClient is an OAuth client at Google as an operator enters it.
type GoogleClient struct {
	ID         string
	Secret     secret.Text
	Publishing Publishing
}

// SetGoogleClient gives a tenant an OAuth client of its own at Google, or a new
// secret for it. With another client id everybody signs in anew, because tokens
// work with the client that minted them and with no other; a new secret changes
// nothing for anybody.
func (o *Operator) SetGoogleClient(ctx context.Context, slug string, g GoogleClient) (*Record, error) {
	r, err := o.Find(ctx, slug)
	if err != nil {
		return nil, err
	}
	switch {
	case r.ID == tenant.DefaultID:
		return nil, Invalid("the default tenant's google client is the settings GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET")
	case g.ID == "" || len(g.ID) > 255:
		return nil, Invalid("the client id must have 1 to 255 characters")
	case g.Secret.Empty() || len(g.Secret.Reveal()) > 1024:
		return nil, Invalid("the client secret must have 1 to 1024 characters")
	case g.Publishing != Testing && g.Publishing != Production:
		return nil, Invalid("publishing is testing or production")
	}
	c := Client{ClientID: g.ID, Generation: r.LastClient + 1, Publishing: g.Publishing}
	sealed, err := o.Vault.Seal(ctx, upstream.Binding(r.ID, c.Generation, c.ClientID), []byte(g.Secret.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("sealing the client secret: %w", err)
	}
	if err := o.Store.ActivateClient(ctx, *r, c, sealed); err != nil {
		return nil, err
	}
	return o.Find(ctx, slug)
}

// UseDeploymentClient ends a tenant's own Google client, in so many words: it
// never happens by itself.
func (o *Operator) UseDeploymentClient(ctx context.Context, slug string) (*Record, error) {
	r, err := o.Find(ctx, slug)
	if err != nil {
		return nil, err
	}
	if err := o.Store.RetireClient(ctx, *r); err != nil {
		return nil, err
	}
	return o.Find(ctx, slug)
}
