// Package operator is what operators see and do of a tenant's rows: connections,
// grants, sessions, clients, keys, the audit trail, a person's data. The commands
// and the admin API call the same functions and show the same views.
//
// It owns the views, the filters and the pages, and records reads of what is
// personal. It never shows a token, a secret or an e-mail address (but in a
// person's export), and decides nothing about who may ask: that is the caller's.
// Tenants themselves are package tenancy's.
package operator
