// Package outbound fetches the small JSON documents that strangers name: client
// ID metadata documents and clients' key sets. It owns where such a fetch may go
// and how much it may cost.
//
// It sends nothing to an address that is not public: the check is made on the
// resolved address at dial time, so a name cannot be bound to another address in
// between (PEERS A12). It follows no redirect, sends no credentials, uses no
// proxy, and keeps nothing: neither documents nor errors. Caching is the
// caller's, within the bounds of Document.FreshUntil.
package outbound
