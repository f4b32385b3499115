// Package audit owns the audit trail: what an event is, its one encoding, the
// chain that seals events, the signed checkpoints over it, and verification
// (DESIGN §4, authserver/docs/audit.md).
//
// An event is written in the transaction of the act it records; that is package
// postgres' work, and an act whose event cannot be written has not happened.
// Nothing is chained at that moment: a chain head would make every token request
// of a tenant wait for the one before. The Sealer chains in the background what
// has been committed, in the order in which it finds it. A row that commits late
// is found later, whatever its id, so none is lost and none moves.
//
// An event never holds a token, a code, a secret, an e-mail address or content
// (DESIGN §1.7): it names rows by their ids, and people by their subject.
package audit
