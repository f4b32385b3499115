// Package httpx is the HTTP shell both servers share: listening and graceful
// shutdown, request ids, one canonical log line per request, and the adapter
// for handlers that return an error.
//
// It must never render a protocol's error: each error surface has its own
// renderer in the server that owns it. It logs paths, never queries, headers
// or bodies, because those carry codes and tokens.
package httpx
