// Package smoke plays an MCP client and its browser over plain HTTP against any
// MCP URL: discovery from the 401 on, registration, authorization with consent
// and the stand-in for Google, token, a tool call, a refresh. Each step prints
// one line; a token, code or cookie is never printed.
//
// The steps are exported so that a test can stop between them.
package smoke
