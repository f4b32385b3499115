// Package keyset owns a tenant's signing keys: the ES256 key of access tokens
// with its public rendering, and the MAC key of codes and refresh tokens. Keys
// are held in memory, signers ready; a token request reads no key.
//
// Private keys leave it never; at rest they are sealed by the vault.
package keyset
