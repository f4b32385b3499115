// Package rewrap moves what is sealed at rest to the current keys while servers
// run: data keys to the key-encryption key that wraps now, values to the
// tenant's active data key and the current format.
//
// Each value is replaced by compare-and-set on its old ciphertext, so a refresh
// or a sign-in meanwhile wins, any number of runs may go on at once, and a run
// that was killed is taken up by the next one: what is done is not found again.
// It never makes or deletes a key, and never sees how values are stored.
package rewrap
