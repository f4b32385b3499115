package postgres

// Erased are the tables of a tenant's erasure, in order.
var Erased = erased
