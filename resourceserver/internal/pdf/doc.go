// Package pdf reads the text of PDF files that other people made. A PDF's objects
// refer to each other at will, so no reader of it is trusted here: PDFium runs as
// WebAssembly, in an instance of its own for each file, which is ended when its time
// is over. An instance has no files, no network and a bounded memory.
//
// A file can be hostile: whatever it does, it costs one instance. It must never hold
// more than its limits, run a script of a file, or fetch what a file names.
package pdf
