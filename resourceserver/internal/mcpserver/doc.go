// Package mcpserver assembles mcp-go: stateless, without streams of its own,
// serving MCP 2025-06-18, 2025-11-25 and 2026-07-28 on one endpoint, with
// validation of results (package tool checks arguments), and the conversation
// with the person (package elicit).
//
// It must be mounted behind bearer.Guard and on the exact path only: mcp-go
// answers on every path, reads bodies without limit and checks no Origin.
package mcpserver
