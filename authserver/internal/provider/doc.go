// Package provider is the token endpoint with revocation and introspection, and
// the only importer of fosite. A token request is parsed once, its client
// authenticated once; then fosite's own authorization_code, PKCE, refresh_token
// and client_credentials handlers run unmodified over a per-request unit of work
// that claims the code or token inside their first read, with one conditional
// statement (DESIGN §4).
//
// Revocation and introspection are our own: fosite answers 200 to a revocation
// that failed, and shows any client any token (LIBRARIES A2). fosite's errors are converted here, in one place; its debug texts never
// leave. Doubt about infrastructure is 503, never invalid_grant.
package provider
