// Package calendar holds the Google Calendar tools. It owns how times are read
// and written (always with an IANA zone, all-day events as dates), what may
// recur, and whose word is needed before other people are reached.
//
// An event that other people are invited to is never created, changed, answered
// or deleted before the person has confirmed whom it reaches, nor is a time set in
// which Google declines invitations in their name. An event is never changed if
// somebody else changed it since it was shown. It must never log or put into an
// error what an event says.
package calendar
