// Package slides holds the Google Slides tools: the text and the speaker notes of
// presentations, new slides from Markdown, and pictures of slides. It also reads a
// presentation for drive_read_file. It never deletes a slide that the person made.
//
// Nothing here asks the person, replacing a text everywhere no more than docs_edit
// does: it reaches nobody, and Google keeps the version before it.
package slides
