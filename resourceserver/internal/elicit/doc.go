// Package elicit asks the person through their client: to confirm an act, to
// choose an account, to open a page. Clients of MCP 2026-07-28 get the question
// as an input_required result and repeat the call with the answer and a state
// that this server sealed; nothing is kept between the two but which
// confirmations were used.
//
// A confirmation is the person's word and never the model's: it is no argument
// of a tool. The state binds it to person, grant, tool, arguments, to what the
// person was shown and to five minutes, and it works once. It is used once per
// replica here; a tool whose act must not happen twice lets Google decide that
// (gmail_send sends a draft, which is gone afterwards).
//
// A client that cannot ask never confirms by itself: its person does, on a page of
// the authorization server, which knows who opens it (decision 0022, Approvals).
// Each call asks that server about the very same act: person, grant, account, tool,
// arguments, question and binding, as a digest that nobody else can guess. It
// answers yes once for one word, over all replicas; nothing of it is kept here, and
// while it is away nothing is done. The protocol library would hold a stream open
// for older clients, whose answer could reach another replica, so it is never asked
// to (LIBRARIES B3.2). What an older client declared at initialize comes back in its
// session id, sealed; it serves to offer the page, of a connection or of an
// approval, as an elicitation (-32042). That the person opened it proves nothing.
package elicit
