// Package contacts holds the tools about people: finding them in the person's
// contacts, among those they wrote to, and in the directory of their organization,
// as far as the app was given these; adding and changing a contact. It owns what is
// read of people, and reads nothing but how to reach them, where they work and what
// the person noted.
//
// A contact is never changed if it is not what the model was shown, gets no other
// name, address or number without the person's word, and is never deleted, which
// Google does for good. It must never log or put into an error whom somebody knows.
package contacts
