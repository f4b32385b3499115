// Package secret holds values that must never reach a log, a trace, a metric
// or an error text. It owns the redaction and nothing else: where a secret
// comes from and how long it lives is its holder's business.
//
// Reveal is the only way to the value, so a search for it lists every place
// where a secret leaves its type.
package secret
