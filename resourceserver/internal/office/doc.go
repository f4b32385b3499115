// Package office reads the text of files that other people made: Word, Excel and
// PowerPoint (Office Open XML). It owns the limits: of the file, of what it unpacks
// to, of the text and of the time. Nothing is built up: XML is read as a stream of
// tokens, so an unpacked part costs no more than its text. PDF is read
// by package pdf.
//
// A file can be hostile: every count in it is a claim. It must never run anything,
// follow an address or a path of a file, or hold more than its limits.
package office
