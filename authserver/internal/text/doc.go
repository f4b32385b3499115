// Package text decides what is text here: UTF-8 without NUL, which PostgreSQL
// cannot hold. What comes in is asked where it is parsed; to ask the database
// would be an error that looks like doubt (DESIGN §1.5).
//
// It owns the check of forms and of JSON bodies, and names the member at fault.
package text
