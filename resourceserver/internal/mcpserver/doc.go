// Package mcpserver assembles mcp-go: stateless, without streams of its own,
// serving MCP 2025-06-18, 2025-11-25 and 2026-07-28 on one endpoint, with
// validation of results (package tool checks arguments), and the conversation
// with the person (package elicit). Resources are addresses of what reading tools
// return, prompts are pieces of work with tools, completions fill in what those
// list: all three need the scopes of their tools and open nothing that these do
// not. It cancels what an older client takes back, for that client only.
//
// It must be mounted behind bearer.Guard and on the exact path only: mcp-go
// answers on every path, reads bodies without limit and checks no Origin.
package mcpserver
