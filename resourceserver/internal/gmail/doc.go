// Package gmail holds the Gmail tools: searching and reading mail, attachments,
// labels, drafts, sending, filters and the vacation reply. It owns what is read
// from Gmail (field masks), how mail becomes text and text becomes mail, and how
// long texts are cut.
//
// It must never delete mail for good (the scope for it is never asked for), never
// send or set up what acts by itself without the person's confirmation, and never
// log or put into an error what a mail says.
package gmail
