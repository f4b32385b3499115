// Package docs holds the Google Docs tools. It owns how a document becomes
// Markdown and Markdown becomes requests that change a document.
//
// A document is only ever changed in the revision that was read: an edit that
// somebody made meanwhile is never overwritten. Nothing here asks the person: an
// edit reaches nobody, and Google keeps the version before it. It must never let Google fetch an
// address that a text names, and never log or put into an error what a document
// says.
package docs
