package kek

import (
	"context"
	"strings"

	"github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"latchkey/authserver/internal/vault"
)

// openGoogle opens a key of Google Cloud KMS over gRPC, with the application
// default credentials.
func openGoogle(ctx context.Context, s Source) (classed, error) {
	a, err := gcpkms.GetAEADWithContext(ctx, googleScheme+strings.TrimPrefix(s.URI, googleScheme), s.google...)
	return classed{a, googleClass}, err
}

// googleClass: cloud.google.com/kms/docs/reference/rpc, errors of Encrypt and
// Decrypt. INVALID_ARGUMENT of Decrypt is a ciphertext of another key or other
// associated data, NOT_FOUND a key that does not exist.
func googleClass(err error) (kind error, code string) {
	c := status.Code(err)
	switch c {
	case codes.InvalidArgument, codes.NotFound:
		return vault.ErrWrongKEK, c.String()
	case codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition:
		return vault.ErrKEKRefused, c.String()
	}
	return vault.ErrKEKAway, c.String()
}
