// Package web owns the three error surfaces of the authorization server (OAuth
// JSON, authorization redirect, page), page rendering with its security
// headers, CORS of the machine endpoints, and cookies' attributes.
//
// It decides nothing: handlers return errors, web renders them, once. Nothing
// of an internal error reaches a client but the request id.
package web
