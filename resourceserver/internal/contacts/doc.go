// Package contacts holds the tool that finds people: in the person's contacts,
// among those they wrote to, and in the directory of their organization, as far
// as the app was given these. It owns what is read of people, and reads nothing
// but how to reach them.
//
// It must never change a contact, and never log or put into an error whom
// somebody knows.
package contacts
