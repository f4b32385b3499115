// Package forms holds the Google Forms tools: what a form asks, what was answered,
// and new forms. It must never log or put into an error what people answered, and it
// publishes no form without the person's word: published, a form reaches others.
package forms
