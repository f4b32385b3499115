// Package drive holds the Google Drive tools: finding, reading, making, changing
// and sharing files, and comments. It owns the search language it offers (plain
// arguments, turned into Drive's query with everything escaped), what kinds of
// files are read as text, and the field masks.
//
// It must never delete for good, never share or comment without the person's
// confirmation, and never log or put into an error the name or the content of a
// file.
package drive
