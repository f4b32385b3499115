// Package linktest is test support: a server whose tool makes signed links, for two
// tenants, on a clock that a test moves. It must never be imported by production
// code.
package linktest
