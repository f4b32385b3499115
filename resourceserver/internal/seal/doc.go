// Package seal makes values that leave this server and come back unread and
// unchanged: the state of a question to a person, a download link, what a client
// said about itself. AES-256-GCM under keys that every replica derives from this
// server's own private key (HKDF, RFC 5869), one for each purpose, so that a
// value made for one purpose cannot be presented for another. By the same way it
// makes names of people for others (Names), which nobody else can turn back.
//
// Possession of a sealed value proves nothing about who presents it: the owner
// of the purpose puts the person into the value and compares. It keeps no state:
// single use is the owner's business.
package seal
