package mcpserver

// Listed is how many forms of tools/list are answered from memory.
func Listed(s *Server) int {
	s.listing.mu.RLock()
	defer s.listing.mu.RUnlock()
	return len(s.listing.known)
}
