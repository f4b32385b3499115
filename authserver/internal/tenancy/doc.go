// Package tenancy is the life of tenants: made, changed, suspended, exported and
// erased by an operator, and followed by the servers, which keep all of them in
// memory.
//
// It owns how a stored tenant becomes a tenant.Tenant and who may follow whom
// in its life. It holds no SQL (package postgres), no command (package app) and
// never a Google client secret in clear: that goes from the operator into the
// vault.
package tenancy
