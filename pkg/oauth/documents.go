package oauth

// ServerMetadata is the RFC 8414 §2 document with the members of RFC 9207 §3,
// RFC 9728 §4, the client ID metadata document draft and OpenID Connect
// Discovery §3. Empty members are omitted (RFC 8414 §3.2).
type ServerMetadata struct {
	Issuer                            string   `json:"issuer"`
	AuthorizationEndpoint             string   `json:"authorization_endpoint"`
	TokenEndpoint                     string   `json:"token_endpoint"`
	RegistrationEndpoint              string   `json:"registration_endpoint,omitempty"`
	RevocationEndpoint                string   `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint             string   `json:"introspection_endpoint,omitempty"`
	PushedAuthorizationEndpoint       string   `json:"pushed_authorization_request_endpoint,omitempty"`
	JWKSURI                           string   `json:"jwks_uri,omitempty"`
	ScopesSupported                   []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported            []string `json:"response_types_supported"`
	ResponseModesSupported            []string `json:"response_modes_supported,omitempty"`
	GrantTypesSupported               []string `json:"grant_types_supported,omitempty"`
	TokenEndpointAuthMethodsSupported []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenEndpointAuthSigningAlgs      []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationAuthMethods             []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	RevocationAuthSigningAlgs         []string `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionAuthMethods          []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	IntrospectionAuthSigningAlgs      []string `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	CodeChallengeMethodsSupported     []string `json:"code_challenge_methods_supported,omitempty"`
	AuthorizationResponseIss          bool     `json:"authorization_response_iss_parameter_supported,omitempty"`
	ClientIDMetadataDocument          bool     `json:"client_id_metadata_document_supported,omitempty"`
	ProtectedResources                []string `json:"protected_resources,omitempty"`
	ServiceDocumentation              string   `json:"service_documentation,omitempty"`

	// OpenID Connect Discovery §3 makes these two REQUIRED in its document.
	SubjectTypesSupported   []string `json:"subject_types_supported,omitempty"`
	IDTokenSigningAlgValues []string `json:"id_token_signing_alg_values_supported,omitempty"`
}

// ResourceMetadata is the RFC 9728 §2 document.
type ResourceMetadata struct {
	Resource               string   `json:"resource"`
	AuthorizationServers   []string `json:"authorization_servers"`
	ScopesSupported        []string `json:"scopes_supported,omitempty"`
	BearerMethodsSupported []string `json:"bearer_methods_supported,omitempty"`
	ResourceName           string   `json:"resource_name,omitempty"`
	ResourceDocumentation  string   `json:"resource_documentation,omitempty"`
}

// ErrorBody is the JSON error of RFC 6749 §5.2.
type ErrorBody struct {
	Error            Code   `json:"error"`
	ErrorDescription string `json:"error_description,omitempty"`
	ErrorURI         string `json:"error_uri,omitempty"`
}

// TokenResponse is RFC 6749 §5.1; scope is always sent (RFC 6749 §5.1 wants it
// whenever it differs from the request).
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
}
