package tenancy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// Upstream says whose OAuth client at Google a tenant uses.
type Upstream string

const (
	OfDeployment Upstream = "deployment"
	Own          Upstream = "own"
)

// Publishing is the state of the consent screen at Google.
type Publishing string

const (
	Testing    Publishing = "testing" // refresh tokens end after seven days
	Production Publishing = "production"
)

// Client is a tenant's own OAuth client at Google, without its secret.
type Client struct {
	ClientID   string
	Generation int64 // grows with each new id or secret
	Publishing Publishing
	Created    time.Time
}

// Resource is a protected resource as stored.
type Resource struct {
	URL     string
	Aliases []string
	Product string // the only product served there; "": all
}

// Record is a tenant as stored.
type Record struct {
	ID         tenant.ID
	Slug       string
	Name       string
	Status     tenant.Status
	Host       string // "": below the deployment's issuer
	Policy     []byte // JSON of tenant.Policy
	Upstream   Upstream
	Client     *Client // the active one of its own; nil: none
	LastClient int64   // generation of the newest client it ever had; 0: none
	Resources  []Resource
	Generation int64 // grows with every change
	Created    time.Time
	Updated    time.Time
}

// Deployment is what the settings say: the default tenant, and what holds for
// every tenant that does not say otherwise.
type Deployment struct {
	Issuer         oauth.IssuerURL
	Resource       oauth.Resource
	Lifetimes      tenant.Lifetimes
	Documents      tenant.Admission
	AccessTokenAlg string
	GoogleClientID string
	Profile        scope.Profile
}

// unread is the default tenant before its row was read: everything is doubt.
func (d Deployment) unread() *tenant.Tenant {
	t := &tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Issuer: d.Issuer, Lifetimes: d.Lifetimes, AccessTokenAlg: d.AccessTokenAlg}
	t.Resources = withProducts(tenant.Resource{Canonical: d.Resource, Aliases: tenant.DefaultAliases(d.Resource, true)})
	return t
}

// withProducts adds the resource of each product below every resource of
// everything.
func withProducts(all ...tenant.Resource) []tenant.Resource {
	named := map[string]bool{}
	for _, r := range all {
		named[r.Canonical.String()] = true
	}
	for _, r := range all {
		for _, product := range exchange.Products() {
			part, err := oauth.ParseResource(r.Canonical.String() + "/" + product)
			if r.Product == "" && err == nil && !named[part.String()] { // the error is a URL that has become too long
				all = append(all, tenant.Resource{Canonical: part, Aliases: tenant.DefaultAliases(part, false), Product: product})
			}
		}
	}
	return all
}

// IssuerOf is the issuer of a tenant: at its own host, or below the deployment's.
func (d Deployment) IssuerOf(r Record) (oauth.IssuerURL, error) {
	switch {
	case r.ID == tenant.DefaultID:
		return d.Issuer, nil
	case r.Host != "":
		return IssuerAt(r.Host)
	}
	return oauth.ParseIssuerURL(d.Issuer.Endpoint("/t/" + r.Slug))
}

// IssuerAt is the issuer at a host: https, and http on loopback, where alone it
// is accepted (DESIGN §7).
func IssuerAt(host string) (oauth.IssuerURL, error) {
	if !tenant.ValidHost(host) {
		return oauth.IssuerURL{}, fmt.Errorf("host %q is not a name in lower case", host)
	}
	if i, err := oauth.ParseIssuerURL("http://" + host); err == nil {
		return i, nil
	}
	return oauth.ParseIssuerURL("https://" + host)
}

// Tenant makes the tenant of a record. When the record cannot be read there is
// a tenant still, of which nothing is known: it answers 503 and never with a
// policy that is not its own.
func (d Deployment) Tenant(r Record) (*tenant.Tenant, error) {
	issuer, err := d.IssuerOf(r)
	if err != nil {
		return nil, err
	}
	t := &tenant.Tenant{ID: r.ID, Slug: r.Slug, Host: r.Host, Issuer: issuer, Lifetimes: d.Lifetimes, AccessTokenAlg: d.AccessTokenAlg}
	if r.ID == tenant.DefaultID {
		t = d.unread()
	} else if err := places(t, r); err != nil {
		return t, err
	}
	if err := d.fill(t, r); err != nil {
		return t, err
	}
	t.Status = r.Status
	return t, nil
}

func (d Deployment) fill(t *tenant.Tenant, r Record) (err error) {
	if r.Status != tenant.Active && r.Status != tenant.Suspended {
		return fmt.Errorf("status %q is unknown", r.Status)
	}
	if t.Policy, err = tenant.ParsePolicy(r.Policy); err != nil {
		return err
	}
	if t.Lifetimes, err = t.Policy.Lifetimes.Over(d.Lifetimes); err != nil {
		return err
	}
	t.Name, t.Documents, t.Profile = r.Name, d.Documents, d.Profile
	if p := t.Policy.Profile; p != "" && !t.Policy.Reports(tenant.ByProfile) {
		t.Profile = p
	}
	limit, _ := t.ScopeLimit()
	t.DefaultScopes = scope.Baseline().Intersect(limit)
	if rule := t.Policy.Documents; rule != nil {
		t.Documents = tenant.Admission{Mode: rule.Mode, Hosts: rule.Hosts}
	}
	switch {
	case r.Upstream == Own && r.ID != tenant.DefaultID:
		t.Upstream.Own = true
		if c := r.Client; c != nil {
			t.Upstream = tenant.Upstream{Own: true, ClientID: c.ClientID, Generation: c.Generation, Testing: c.Publishing == Testing}
		}
	case r.Upstream == OfDeployment:
		t.Upstream.ClientID = d.GoogleClientID
	default:
		return fmt.Errorf("upstream %q is unknown", r.Upstream)
	}
	return nil
}

// places reads the resources of a tenant. They come before all else that can be
// wrong: resource servers are to answer doubt there, and not that there is nothing.
func places(t *tenant.Tenant, r Record) error {
	if len(r.Resources) == 0 {
		return errors.New("the tenant has no resource")
	}
	var all []tenant.Resource
	for _, stored := range r.Resources {
		canonical, err := oauth.ParseResource(stored.URL)
		if err != nil {
			return err
		}
		if stored.Product != "" && !slices.Contains(exchange.Products(), stored.Product) {
			return fmt.Errorf("there is no product %q", stored.Product)
		}
		all = append(all, tenant.Resource{Canonical: canonical, Aliases: stored.Aliases, Product: stored.Product})
	}
	t.Resources = withProducts(all...)
	return nil
}

// Directory makes the directory of all tenants. problems names those that could
// not be read, or that claim what is another's and are left out; an error means
// that there is no directory.
func (d Deployment) Directory(records []Record) (dir *tenant.Directory, problems []error, err error) {
	var tenants []*tenant.Tenant
	for _, r := range records {
		t, err := d.Tenant(r)
		if err != nil {
			problems = append(problems, fmt.Errorf("tenant %s: %w", r.Slug, err))
		}
		switch {
		case t == nil:
		case t.ID == tenant.DefaultID: // first: nobody takes what is the deployment's
			tenants = slices.Insert(tenants, 0, t)
		default:
			tenants = append(tenants, t)
		}
	}
	dir, refused := tenant.Assemble(tenants...)
	problems = append(problems, refused...)
	if dir == nil {
		return nil, problems, errors.New("the database has no default tenant")
	}
	return dir, problems, nil
}
