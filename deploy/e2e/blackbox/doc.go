// Package blackbox holds the tests of the whole system: they build the two
// servers, run them as processes beside a real PostgreSQL and the stand-in for
// Google, and speak HTTP to them, nothing else. They kill what a machine may
// kill.
package blackbox
