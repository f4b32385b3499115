// Package download gives a person a file through a link: too large, or of a kind
// that a model cannot read. The link is short-lived and works without signing in;
// it names one file of one account and carries, sealed, the access token of the
// call that made it. Opening it is as if the client had called again: the token
// is verified, its grant is checked for revocation and the exchange is asked, so
// a link gives nothing that the token would not, and ends with it.
//
// A link must never hold a Google credential, never outlive the token, and its
// bytes never run in this origin: they are always an attachment of no particular
// type. See authserver/docs/decisions/0013-confirmation-and-download-links.md.
package download
