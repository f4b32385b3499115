// Package discovery publishes what clients need to find their way: the
// authorization server metadata (RFC 8414) under its own and both OpenID
// names, and the key set. A document says only what works, and its issuer is
// the configured string, byte for byte (DESIGN §1.8).
package discovery
