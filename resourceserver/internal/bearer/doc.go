// Package bearer is the guard in front of the MCP endpoint: Host and Origin,
// CORS, the access token, the body limit, and the scopes of the tool that is
// called, in this order and before the protocol library sees a byte. It owns
// every 401, 403 and 413 answer of the endpoint and puts the Principal into the
// context.
//
// It must never take a token from anywhere but the Authorization header, never
// answer doubt about the key set with 401 (that would sign people out), and
// never forward the token: only the exchange gets it, from the Principal.
package bearer
