// Package erasure destroys what a person or a tenant has sealed at rest, by
// destroying the keys and then the ciphertexts, and states in a signed receipt
// what was destroyed. It owns shredding and the receipt; what else is to be
// deleted, and telling Google, is the caller's.
//
// Keys live in the database, so they also live in its backups and its archived
// write-ahead log until those are gone (decision 0008): the receipt says so.
package erasure
