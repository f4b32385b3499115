package tenancy

import (
	"encoding/json"
	"time"

	"latchkey/authserver/internal/tenant"
)

// View is a tenant in words, for operators: in the commands' JSON and in the
// API.
type View struct {
	ID         string          `json:"id"`
	Slug       string          `json:"slug"`
	Name       string          `json:"name,omitempty"`
	Status     tenant.Status   `json:"status"`
	Issuer     string          `json:"issuer"`
	Host       string          `json:"host,omitempty"`
	Resources  []ResourceView  `json:"resources"`
	Google     GoogleView      `json:"google_client"`
	Policy     json.RawMessage `json:"policy"`
	Problem    string          `json:"problem,omitempty"` // why no server can serve it
	Generation int64           `json:"generation"`
	Created    time.Time       `json:"created_at"`
	Updated    time.Time       `json:"updated_at"`
}

// ResourceView is a protected resource.
type ResourceView struct {
	URL     string   `json:"url"`
	Aliases []string `json:"aliases,omitempty"`
	Product string   `json:"product,omitempty"`
}

// GoogleView is the OAuth client at Google, without its secret.
type GoogleView struct {
	Of          Upstream   `json:"of"` // deployment or own
	ClientID    string     `json:"client_id,omitempty"`
	Generation  int64      `json:"generation,omitempty"`
	Publishing  Publishing `json:"publishing,omitempty"`
	CallbackURL string     `json:"redirect_uri"` // to be registered at Google
}

// CallbackPath is where Google sends people back, below a tenant's origin.
const CallbackPath = "/google/callback"

// View describes a record.
func (o *Operator) View(r Record) (View, error) {
	issuer, err := o.Deployment.IssuerOf(r)
	if err != nil {
		return View{}, err
	}
	v := View{
		ID: r.ID.String(), Slug: r.Slug, Name: r.Name, Status: r.Status, Issuer: issuer.String(), Host: r.Host, Policy: r.Policy,
		Generation: r.Generation, Created: r.Created.UTC(), Updated: r.Updated.UTC(), Resources: []ResourceView{},
		Google: GoogleView{Of: r.Upstream, ClientID: o.Deployment.GoogleClientID, CallbackURL: issuer.Origin() + CallbackPath},
	}
	if r.Upstream == Own {
		v.Google.ClientID = ""
		if c := r.Client; c != nil {
			v.Google.ClientID, v.Google.Generation, v.Google.Publishing = c.ClientID, c.Generation, c.Publishing
		}
	}
	if r.ID == tenant.DefaultID {
		v.Resources = append(v.Resources, ResourceView{URL: o.Deployment.Resource.String()})
	}
	for _, res := range r.Resources {
		v.Resources = append(v.Resources, ResourceView(res))
	}
	if _, err := o.Deployment.Tenant(r); err != nil {
		v.Problem = err.Error()
	}
	return v, nil
}
