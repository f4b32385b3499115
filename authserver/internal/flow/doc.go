// Package flow is the authorization flow, a person's way from a client to
// Google and back:
//
//	GET /authorize -> consent page (nothing stored; the request is sealed into the form)
//	    POST /authorize/consent -> deny: error redirect
//	                            -> approve: flow row and browser cookie -> 303 Google
//	        GET /google/callback -> state, cookie and row must agree, once
//	            -> dispatch -> Google again (once, for a refresh token) | error redirect | code
//
// dispatch is the only place that decides the next step. The package never
// redirects to a URI that the client's registration does not match, never
// exchanges Google's code for a browser that did not approve, and keeps no
// secret in the database: a flow row holds hashes.
package flow
