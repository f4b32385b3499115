// Package sheets holds the Google Sheets tools. It owns the A1 notation, how much
// of a sheet is read at once, and which formulas and changes are let through.
//
// Values are text unless the caller says that they are to be read as typed. It
// must never write a formula that fetches from elsewhere: with one, whoever wrote
// the text that a model follows would be sent the sheet. It never logs or puts
// into an error what a sheet holds.
package sheets
