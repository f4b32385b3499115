package ratelimit

// Len is how many buckets are remembered.
func (b *Local[K]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.tats)
}
