// Package tool describes a tool: name, title, schemas, MCP scopes, least Google
// scopes, the four hints, and a typed handler. It is the thin layer between the
// product packages and mcp-go, so that the library could be exchanged without
// touching a product. It also owns the typed error that every tool answers with.
//
// A handler is only ever run through Tool.Call, which checks the scopes of the
// principal once more, bounds the time, recovers panics and writes the outcome
// into the request's log line. Arguments and results never reach a log.
package tool
