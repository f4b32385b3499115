package keyset

import "context"

// Round is one turn of Run.
func (k *Keyset) Round(ctx context.Context) { k.round(ctx) }

// Limit is how many keys of a purpose there may be.
func Limit(p Purpose) int { return limits[p] }
