// Package kek opens the key-encryption key that the settings name: a local
// file, or a key in Google Cloud KMS, AWS KMS or the transit engine of
// HashiCorp Vault, through tink's clients. It owns the network of it: how long a
// call may take, how much an answer may be, and which failure is doubt and
// which is not (vault.ErrKEKAway, ErrKEKRefused, ErrWrongKEK).
//
// How a server proves who it is to a service is the service's own business:
// each client finds its credentials as its documentation says. The package
// never sees a sealed value, only data keys on the way to be wrapped.
package kek
