package oauth

// GrantType is a grant_type value.
type GrantType string

const (
	GrantAuthorizationCode GrantType = "authorization_code"
	GrantRefreshToken      GrantType = "refresh_token"
	GrantClientCredentials GrantType = "client_credentials"
	GrantTokenExchange     GrantType = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
)

const (
	// TokenTypeAccessToken is RFC 8693 §3.
	TokenTypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	// ClientAssertionJWTBearer is RFC 7523 §2.2.
	ClientAssertionJWTBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// ResponseTypeCode is the only response type (RFC 9700 §2.1.2).
	ResponseTypeCode = "code"
	// MethodS256 is the only PKCE method (RFC 9700 §2.1.1).
	MethodS256 = "S256"
)

// AuthMethod is a token_endpoint_auth_method value (RFC 7591 §2).
type AuthMethod string

const (
	AuthNone          AuthMethod = "none"
	AuthSecretBasic   AuthMethod = "client_secret_basic"
	AuthSecretPost    AuthMethod = "client_secret_post"
	AuthPrivateKeyJWT AuthMethod = "private_key_jwt"
)
