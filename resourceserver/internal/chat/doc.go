// Package chat holds the Google Chat tools: searching and reading messages, and
// sending one. It owns how a search is written, so that nothing of the caller's
// words becomes a part of its language.
//
// It must never send without the person's confirmation of the very text and
// place, and never log or put into an error what people wrote.
package chat
