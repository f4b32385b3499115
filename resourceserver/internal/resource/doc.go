// Package resource knows which protected resources this server serves and for
// which tenants: it follows the authorization server's list, so that a tenant is
// served, limited or cut off without a restart.
//
// It decides nothing about a request. While the list does not answer, the last
// good copy holds; an answer that cannot be read changes nothing.
package resource
