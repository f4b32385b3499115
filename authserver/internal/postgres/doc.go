// Package postgres holds all SQL of the authorization server, one file per
// aggregate. Exported methods own their transaction; pgx errors are mapped at
// this edge; columns are enumerated.
//
// Every method that touches a tenant's rows takes the tenant and sets it in
// the same batch as its statement, one round trip (DESIGN §4): row-level
// security then hides every other tenant's rows even from a wrong WHERE. An
// error that is none of the domain's is doubt about the database.
package postgres
