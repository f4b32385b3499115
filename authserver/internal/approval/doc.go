// Package approval owns the person's word about one act of a tool, where the app
// cannot ask for it (decision 0022): the question, the link under which its person
// answers it, and the answer, which is good for one use.
//
//	resource server: Ask -> pending, with a link
//	person, in a session of their own: Question -> Answer
//	resource server: Ask, the same act -> approved or declined, once, and it is gone
//
// The word is for a tenant, person, grant, Google account, tool and digest. It ends
// with the grant, with the session it was given in, and by itself. Nobody but the
// person's own browser gives it: the link is no proof of who opens it, and neither
// the app nor the resource server has a way to answer.
//
// It never decides who somebody is (package session) nor whether a token is good
// (package exchange), and keeps no question in the clear.
package approval
