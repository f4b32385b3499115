// Package provider is the token endpoint, and the only importer of fosite. A
// request is parsed once, its client authenticated once; then fosite's own
// authorization_code, PKCE and refresh_token handlers run unmodified over a
// per-request unit of work that claims the code or token inside their first
// read, with one conditional statement (DESIGN §4).
//
// fosite's errors are converted here, in one place; its debug texts never
// leave. Doubt about infrastructure is 503, never invalid_grant.
package provider
