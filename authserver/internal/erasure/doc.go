// Package erasure owns the end of what a person or a tenant has stored here: it
// destroys the keys and then the ciphertexts, and states in a signed receipt
// what was destroyed. It owns shredding, the receipt, and a person's erasure and
// export as a whole; deleting a tenant's rows is package tenancy's.
//
//	Erase -> nothing works any more, tokens queued -> Google asked, bounded
//	    -> shred, receipt -> grants' ids gone in 25 hours -> receipt gone in 30 days
//
// Keys live in the database, so they also live in its backups and its archived
// write-ahead log until those are gone (decision 0008): the receipt says so.
// Why Google is asked before anything is shredded, and for how long: decision 0015.
package erasure
