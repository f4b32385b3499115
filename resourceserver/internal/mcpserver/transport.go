//go:build !conformance

package mcpserver

import "github.com/mark3labs/mcp-go/server"

// fixtures are nothing here: the build with the tag conformance adds what the
// official conformance suite calls.
func fixtures(*server.MCPServer) {}

// transport answers every request with one JSON document: there are no sessions
// and no streams, so that any replica serves any request.
var transport = []server.StreamableHTTPOption{server.WithStateLess(true), server.WithDisableStreaming(true)}

// sessions says whether the library keeps sessions.
const sessions = false
