// Package exchange is the wire contract between the resource server and the
// authorization server's internal token exchange (RFC 8693 form, DESIGN §6):
// the request, the response, the error members and the client.
//
// It never holds a token longer than a call: caching belongs to the resource
// server's credential package.
package exchange
