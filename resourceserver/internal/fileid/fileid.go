// Package fileid reads the ids of Google's files, as such or out of their
// addresses. An id is checked for its characters and length and nothing else of
// an address is used, so no argument becomes a path or a host.
package fileid

import (
	"net/url"
	"slices"
	"strings"

	"latchkey/resourceserver/internal/tool"
)

const (
	minLength = 4 // "root"
	maxLength = 128
	letters   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// Parse returns the id that an argument names: an id, or the address of a file or
// folder at docs.google.com or drive.google.com. argument is its name in errors,
// which are *tool.Error.
func Parse(argument, s string) (string, error) {
	id := strings.TrimSpace(s)
	if strings.Contains(id, "/") {
		id = fromURL(id)
	}
	if len(id) < minLength || len(id) > maxLength || strings.Trim(id, letters) != "" {
		return "", tool.Invalid("%s must be the id of a file in Drive, or its address.", argument)
	}
	return id, nil
}

func fromURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Host != "docs.google.com" && u.Host != "drive.google.com" {
		return ""
	}
	parts := strings.Split(u.Path, "/")
	for _, before := range []string{"d", "folders"} {
		if i := slices.Index(parts, before); i >= 0 && i+1 < len(parts) {
			return parts[i+1]
		}
	}
	return u.Query().Get("id")
}
