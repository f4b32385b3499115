// Package keyset owns a tenant's signing keys: the key of access tokens with
// its public rendering, and the MAC key of codes and refresh tokens. Keys are
// held in memory, signers ready; a token request reads no key.
//
// A key is next, then active, then retired, then deleted. Three things hold
// whatever the number of replicas, and the database's clock decides:
//
//   - No key signs before everybody can know it: a next key is stored for Lead
//     before it becomes active, and a set is used for less than Lead after it was
//     read, so that every set in use and every copy of the JWKS that its
//     Cache-Control allows has every key that may sign meanwhile.
//   - No key goes while a token of it can live: a retired key is deleted when
//     the longest life of its tokens and a margin have passed since it signed.
//   - Each transition is one transaction that states its condition, under a lock
//     of the tenant: replicas that try at once do it once.
//
// The exception is Replace, for a key that has leaked: it honours neither of
// the first two. Private keys leave the package never; at rest they are sealed
// by the vault, bound to tenant and key id.
package keyset
