// Package policy holds what an operator lets the tools do in a person's name:
// whether mail may be sent, to whom, and whether files may be shared outside.
// It is a value that the endpoint puts into the context of a call, so that it
// can differ by tenant; the zero value allows the least.
//
// It never replaces the person's own word: what a policy allows still has to be
// confirmed.
package policy
