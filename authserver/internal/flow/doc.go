// Package flow is the authorization flow, a person's way from a client to
// Google and back:
//
//	GET /authorize -> consent page (nothing stored; the request is sealed into the form)
//	    POST /authorize/consent -> deny: error redirect
//	                            -> approve: a trip to Google (package signin)
//	        Returned -> Google again (once, for a refresh token) | error redirect | code
//
// Returned is the only place that decides the next step. The package never
// redirects to a URI that the client's registration does not match; that only
// the browser that approved comes back from Google is signin's to hold.
package flow
