package kek

import (
	"net/http"

	"github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
)

// Through points a source at a stand-in that speaks HTTP.
func Through(s Source, transport http.RoundTripper, endpoint string) Source {
	s.transport, s.endpoint = transport, endpoint
	return s
}

// ThroughGRPC points a source at a stand-in that speaks gRPC.
func ThroughGRPC(s Source, options ...gcpkms.Option) Source {
	s.google = options
	return s
}

const (
	CallTimeout = callTimeout
	MaxAnswer   = maxAnswer
)
