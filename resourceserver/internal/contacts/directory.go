package contacts

import (
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

var directorySources = []string{"DIRECTORY_SOURCE_TYPE_DOMAIN_PROFILE", "DIRECTORY_SOURCE_TYPE_DOMAIN_CONTACT"}

// directoryError tells of a search in the directory. To an account without an
// organization Google says that a precondition failed.
func directoryError(err error) error {
	mapped := googleapi.Error("searching directory", err)
	if e, ok := mapped.(*tool.Error); ok && precondition(err) {
		e.Code, e.Message, e.NextAction = tool.CodePermissionDenied, "This Google account belongs to no organization, so it has no directory.", "Look with contacts_search, or use an account of the organization."
	}
	return mapped
}
