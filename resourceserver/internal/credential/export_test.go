package credential

// Cached is how many credentials are kept.
func (c *Credentials) Cached() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.cached)
}
