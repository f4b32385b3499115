// Package forms holds the Google Forms tools: what a form asks, and what was
// answered. It must never log or put into an error what people answered.
package forms
