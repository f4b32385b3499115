// Package consent owns what a person is shown before Google and how the
// answer narrows a request: pure decisions over the client, the request and
// the scope registry.
//
// It does no I/O, trusts nothing that a client says about itself, and knows no
// way around the page.
package consent
