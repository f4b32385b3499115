// Package tasks holds the Google Tasks tools. It owns what is shown of tasks and
// how they are changed; Google keeps of a due time the date only, so dates are all
// there is.
//
// It must never delete a task, which Google does for good, and never log or put
// into an error what a task says.
package tasks
