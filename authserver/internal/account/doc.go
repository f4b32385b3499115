// Package account is the person's own page and what they do there: their Google
// accounts, the apps they allowed, their sessions; and the links by which an app
// asks for a repair, or for their word about one act of a tool.
//
//	GET /account -> sign in at Google (identity only) -> session -> the page
//	GET /connect/<secret> -> what is asked, nothing used up
//	    POST -> the link used up, once -> Google -> same account as before, or nothing
//	GET /approve/<secret> -> sign in, if need be -> the question, for its person alone
//	    POST -> the answer, once
//
// Everything is found by tenant and subject of the session. A link signs nobody
// in: repairing needs the very Google account, adding one needs the session of
// the link's person. Accounts are known by Google's sub, never by an address.
package account
