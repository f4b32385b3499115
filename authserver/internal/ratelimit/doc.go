// Package ratelimit decides how often something may be asked, over all replicas:
// the generic cell rate algorithm, its buckets in PostgreSQL, behind a sieve in
// this process. Nearly every decision is the sieve's alone: what is far below a
// limit is admitted and told to PostgreSQL now and then, what is beyond it is
// refused from what PostgreSQL said last. docs/decisions/0014 has the argument why
// that errs by at most one per cent per replica.
//
// Who is counted is a Key, which only this package makes: never a raw string from
// outside. It owns the numbers (Default), the answer (429, never an error that
// makes a client throw its tokens away) and the headers. What a request is, and
// whose, is the caller's.
package ratelimit
