// Package revocation ends many grants at once: everybody's, a tenant's, a
// person's or a client's, and on demand their Google accounts' connections.
//
// It begins with one small transaction that says "of these, everything up to
// now": an epoch. From its commit on no code, refresh token, exchange or session
// of theirs is served, and resource servers hear of it as one entry of their
// feed. What follows, marking each row and saying so in the audit trail, may take
// long and changes nothing for anybody. It is a job in the database: a run that
// was killed is taken up by the same command or by any server.
//
// It decides nothing about who may ask for it, speaks no HTTP, and never sees a
// token: what is to be withdrawn at Google goes into the queue of package
// connection.
package revocation
