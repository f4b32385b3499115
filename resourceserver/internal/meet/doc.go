// Package meet holds the Google Meet tools: which meetings took place, and what
// was said in them, as far as Google wrote it down.
//
// It must never log or put into an error who met and what they said.
package meet
