package contacts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	gapi "google.golang.org/api/googleapi"
	"google.golang.org/api/people/v1"

	"latchkey/resourceserver/internal/tool"
)

// version names what can be changed of a contact, as it is. Google's own etags do
// not serve: of one contact a search has another than a get, and only the latter
// is good for a change. Google promises no order, so none counts.
func version(p *people.Person) string {
	parts := []string{"notes " + notes(p)}
	for _, n := range p.Names {
		parts = append(parts, "given "+n.GivenName, "family "+n.FamilyName)
	}
	for _, e := range p.EmailAddresses {
		parts = append(parts, "email "+strings.ToLower(e.Value))
	}
	for _, n := range p.PhoneNumbers {
		parts = append(parts, "phone "+digits(n.Value))
	}
	for _, o := range p.Organizations {
		of, _ := json.Marshal([]string{o.Name, o.Title, o.Department})
		parts = append(parts, "organization "+string(of))
	}
	slices.Sort(parts)
	all, _ := json.Marshal(parts)
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:8])
}

// digits are what two spellings of a number have in common.
func digits(number string) string {
	return strings.Map(func(r rune) rune {
		if r == '+' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, number)
}

// organization is where the person works now, -1 if nobody knows: Google promises
// no order, and marks one.
func organization(p *people.Person) int {
	if len(p.Organizations) == 0 {
		return -1
	}
	return max(0, slices.IndexFunc(p.Organizations, func(o *people.Organization) bool { return o.Metadata != nil && o.Metadata.Primary }))
}

// contactName is one segment: it must not lead to another resource.
var contactName = regexp.MustCompile(`^people/[A-Za-z0-9_-]{1,100}$`)

func resourceName(s string) (string, error) {
	if !contactName.MatchString(s) || s == "people/me" {
		return "", tool.Invalid("resource_name must be one that contacts_search returned with the source contacts.")
	}
	return s, nil
}

func changed() error {
	return &tool.Error{Code: tool.CodeConflict, Message: "The contact is not as it was when it was read: it was changed meanwhile, and nothing was done.",
		NextAction: "Find it again with contacts_search, ask the person if the change is still wanted, and call again with the new etag."}
}

// precondition reports whether Google refused something that does not fit how
// things are: the People API says so with 400, not with 409 or 412.
func precondition(err error) bool {
	var g *gapi.Error
	return errors.As(err, &g) && g.Code == http.StatusBadRequest &&
		(slices.ContainsFunc(g.Errors, func(e gapi.ErrorItem) bool { return e.Reason == "failedPrecondition" }) || strings.Contains(g.Body, `"FAILED_PRECONDITION"`))
}
