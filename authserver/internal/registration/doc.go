// Package registration turns client metadata into clients: dynamic
// registration (RFC 7591) and the cached lookup that the other endpoints use.
//
// Everything a client says about itself is self-asserted: this package checks
// form and limits, never truth. It registers public clients only; client ids
// are random and never look like a URL.
package registration
