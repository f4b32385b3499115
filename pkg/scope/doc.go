// Package scope is the one table that ties a Latchkey (MCP) scope to the
// Google scopes it needs, the scopes it implies, and the words in which a
// person is asked for it. The resource server's checks, the consent page and
// the planner of Google requests all read this table and no other.
//
// It decides nothing about a person or a tenant and does no I/O.
package scope
