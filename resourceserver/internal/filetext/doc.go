// Package filetext reads the files that others made as text, by their media type:
// plain text and HTML in any charset here, Office by package office, PDF by package
// pdf. It owns how large they may be, how many are held at once, whose turn it is,
// and what is said of those that are not read.
//
// It must never fetch anything by itself, and never put a word of a file into an
// error. Its text is content of others: the tool that shows it puts it into a fence.
package filetext
