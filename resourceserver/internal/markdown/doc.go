// Package markdown holds the Markdown that documents are read and written in:
// CommonMark with tables and strikethrough, as blocks and spans. What has no place
// in a document comes out as text: raw HTML stays what it says, images are links.
//
// It must never fetch anything and never drop text.
package markdown
