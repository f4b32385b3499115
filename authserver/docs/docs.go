// Package docs holds the documents of the authorization server that the program
// itself serves. It has no code.
package docs

import _ "embed"

// OpenAPI is the description of the admin API: OpenAPI 3.1, JSON.
//
//go:embed openapi.json
var OpenAPI []byte
