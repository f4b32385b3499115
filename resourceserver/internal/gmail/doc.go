// Package gmail holds the Gmail tools: searching threads and reading one. It
// owns what is read from Gmail (field masks), how mail becomes text, and how
// long texts are cut.
//
// It must never delete for good (the scope for it is never asked for), and never
// log or put into an error what a mail says.
package gmail
