// Package upload takes a file from a person through a link, for a model cannot send
// one. The link and who may use it are package signedlink's; it binds the place, the
// name, the type and the id of the file to be, so that whoever holds it decides
// nothing but the bytes. Opened in a browser it shows a form; programs use PUT.
//
// A body must never be held: it goes on in pieces (Piece). It is used once because
// the id is: Google made it beforehand and refuses a second file under it. Nothing
// of a file, not even its name, reaches a log.
package upload
