// Package vault seals what must not be readable in the database: Google's
// tokens, e-mail addresses, private keys, consent forms. AES-256-GCM (tink)
// under a data key per tenant, which a key-encryption key wraps; the
// associated data names tenant, subject, connection, purpose and version
// (DESIGN §1.6). What belongs to a person is sealed under a key of the person's
// own, derived from the data key and a secret that can be destroyed
// (decision 0008).
//
// It has no database and does no HTTP: data keys come through DataKeyStore, the
// key-encryption key through KEK. It has no plaintext mode and no fallback;
// without its key-encryption key it cannot be made.
package vault
