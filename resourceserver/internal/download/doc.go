// Package download gives a person a file through a link: too large, or of a kind
// that a model cannot read. The link and who may open it are package signedlink's;
// this package streams.
//
// The bytes must never run in this origin: they are always an attachment of no
// particular type.
package download
