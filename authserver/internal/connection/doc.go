// Package connection owns a subject's Google connection and the life of its
// credential: first link, refresh (once, whoever asks), marking, relink, the
// invitations by which a person is asked to repair it, and its end at Google.
//
// A credential is opened only for a Ref, which is also the associated data it
// was sealed under. The package never holds a transaction across a call to
// Google and never turns doubt about Google into a lost connection.
package connection
