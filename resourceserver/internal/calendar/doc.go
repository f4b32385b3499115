// Package calendar holds the Google Calendar tools. It owns how times are read
// and written: always with a zone, all-day events as dates.
//
// It must never change an event, and never log or put into an error what an
// event says.
package calendar
