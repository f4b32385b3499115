module latchkey/deploy/e2e

go 1.26.0

require (
	github.com/mark3labs/mcp-go v1.2.1
	golang.org/x/oauth2 v0.37.0
	latchkey/deploy/dev v0.0.0
)

require (
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	github.com/google/jsonschema-go v0.4.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.2 // indirect
	github.com/spf13/cast v1.7.1 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace latchkey/deploy/dev => ../dev

replace latchkey/pkg => ../../pkg

replace latchkey/migrations => ../../migrations
