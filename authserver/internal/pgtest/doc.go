// Package pgtest gives tests their PostgreSQL: one private cluster per test
// process, in memory where there is plenty, a template database migrated once, a
// rolled-back transaction or a cloned database per test, and a server of its own
// where a test reaches beyond one database. It is never imported by production
// code.
//
// TEST_DATABASE_URL, the URL of a server on which databases may be created,
// replaces the private cluster.
package pgtest
