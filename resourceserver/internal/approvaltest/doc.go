// Package approvaltest is test support: the page of an authorization server where a
// person confirms what their client cannot ask, without that server. It must never
// be imported by production code.
package approvaltest
