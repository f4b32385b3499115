// Package content turns what other people wrote (mail bodies, event
// descriptions) into plain text of bounded length: character sets, HTML, text
// that is invisible to a reader, truncation with a marker.
//
// It must never be taken for a defence against instructions in that text. It
// removes what a person would not see; the rest is marked as untrusted data, and
// every tool that acts asks the person.
package content
