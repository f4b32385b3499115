package kek

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"

	"latchkey/authserver/internal/vault"
)

func awsRegion(uri string) (string, error) {
	a, err := arn.Parse(strings.TrimPrefix(uri, awsScheme))
	if err != nil {
		return "", err
	}
	if a.Service != "kms" || a.Region == "" || !strings.HasPrefix(a.Resource, "key/") || a.Resource == "key/" {
		return "", errors.New("no key of KMS")
	}
	return a.Region, nil
}

// openAWS opens a key of AWS KMS, with the SDK's default credentials.
func openAWS(ctx context.Context, s Source) (classed, error) {
	region, err := awsRegion(s.URI)
	if err != nil {
		return classed{}, err
	}
	settings, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return classed{}, err
	}
	api := kms.NewFromConfig(settings, func(o *kms.Options) {
		o.HTTPClient = short{o.HTTPClient}
		if s.endpoint != "" {
			o.BaseEndpoint = aws.String(s.endpoint)
		}
	})
	a, err := awskms.NewAEADWithContext(ctx, strings.TrimPrefix(s.URI, awsScheme), awskms.WithKMS(api))
	return classed{a, awsClass}, err
}

// short is the SDK's HTTP client, with its settings, and answers that end.
type short struct{ next kms.HTTPClient }

func (s short) Do(r *http.Request) (*http.Response, error) { return bound(s.next.Do(r)) }

// awsClass: docs.aws.amazon.com/kms/latest/APIReference, errors of Encrypt and
// Decrypt, and the common ones.
func awsClass(err error) (kind error, code string) {
	var answered interface{ ErrorCode() string }
	if !errors.As(err, &answered) {
		return vault.ErrKEKAway, "no answer"
	}
	code = answered.ErrorCode()
	switch code {
	case "InvalidCiphertextException", "IncorrectKeyException", "NotFoundException":
		return vault.ErrWrongKEK, code
	case "AccessDeniedException", "DisabledException", "InvalidKeyUsageException", "KMSInvalidStateException",
		"UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignature", "ExpiredTokenException", "InvalidClientTokenId", "MissingAuthenticationToken":
		return vault.ErrKEKRefused, code
	}
	return vault.ErrKEKAway, code
}
