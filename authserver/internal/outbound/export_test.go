package outbound

import "strings"

// CheckURL is where a fetcher without exceptions would go.
func CheckURL(s string) (string, error) { return (&Fetcher{}).checkURL(s) }

// Control is the check of an address at dial time.
func Control(address string) error {
	network := "tcp4"
	if strings.HasPrefix(address, "[") {
		network = "tcp6"
	}
	return (&Fetcher{}).control(network, address, nil)
}
