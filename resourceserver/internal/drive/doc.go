// Package drive holds the Google Drive tools. It owns the search language it
// offers (plain arguments, turned into Drive's query with everything escaped) and
// the field masks.
//
// It must never delete or share, and never log or put into an error the name or
// the content of a file.
package drive
