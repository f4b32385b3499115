// Package signin owns a person's way to Google and back, for everybody who
// sends one there:
//
//	Begin -> flow row (hashes), cookie of this browser -> 303 Google
//	    GET /google/callback -> state, cookie and row must agree, once
//	        -> Google's code exchanged, ID token checked
//	            -> the continuation of the trip's kind
//
// It never exchanges Google's code for a browser that did not begin the trip,
// keeps no secret in the database, and decides nothing about what a sign-in is
// good for: that is the continuation's.
package signin
