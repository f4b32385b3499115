// Package signals receives Google's Cross-Account Protection events (RISC):
// security event tokens (RFC 8417) that Google pushes (RFC 8935) when an
// account is disabled, its sessions end or its tokens are revoked. It owns what
// proves such a token and what each event means here; the database acts.
//
// An event only ever takes away: grants end, credentials must be renewed by a
// sign-in, tokens are forgotten. Nothing here gives access, restores it or says
// who a person is. An event acts once, on all it is about or on nothing, and
// only on what the named Google client minted. Doubt is answered 503, so that
// Google delivers again. Google's sub, token identifiers and addresses are not
// logged.
package signals
