package outbound

// CheckURL is where a fetcher without exceptions would go.
func CheckURL(s string) (string, error) { return (&Fetcher{}).checkURL(s) }
