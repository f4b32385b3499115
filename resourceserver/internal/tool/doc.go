// Package tool describes a tool: name, title, schemas, MCP scopes, least Google
// scopes, the four hints, and a typed handler. It is the thin layer between the
// product packages and mcp-go, so that the library could be exchanged without
// touching a product. It also owns the typed error that every tool answers with.
//
// A product package adds its tools with Set and Add. Names begin with the service,
// which also decides the resource that has the tool (app.products). Arguments and
// results are flat structs, at most with lists of such: the published schemas are
// small on purpose, because a model pays for them in every conversation
// (TestCatalogueBudget). A tool that
// sends, shares or destroys sets Asks and calls elicit.Confirm before it changes
// anything; package googleapi holds it to that.
//
// A handler is only ever run through Tool.Call, which checks the scopes of the
// principal once more, bounds the time, recovers panics and writes the outcome
// into the request's log line. Arguments and results never reach a log.
package tool
