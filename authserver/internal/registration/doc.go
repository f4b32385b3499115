// Package registration turns client metadata into clients: dynamic registration
// (RFC 7591) and its management (RFC 7592), client ID metadata documents, and
// the cached lookup that the other endpoints use.
//
// Everything a client says about itself is self-asserted: this package checks
// form and limits, never truth. Generated client ids are random and never look
// like a URL. A document is only as good as its host: errors and invalid
// documents are never kept, and a document never brings a shared secret.
package registration
