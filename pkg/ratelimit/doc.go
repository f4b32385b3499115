// Package ratelimit is the arithmetic of rate limits, the same in both servers:
// the generic cell rate algorithm in whole microseconds, limits in one process,
// the headers that tell a client where it stands, and the numbers of the limits that
// both know or that a tenant may have of its own. It knows no tenant, no request and
// no database; who is counted under which name is its callers'.
package ratelimit
