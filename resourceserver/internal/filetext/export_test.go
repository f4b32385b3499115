package filetext

import "context"

const (
	Parallel   = parallel
	MaxWait    = maxWait
	MaxCalls   = maxCalls
	RetryAfter = retryAfter
)

// Pages is what is said of a PDF file.
var Pages = pages

// NewReader has a PDFium that is made as ready says.
func NewReader(ready func(context.Context) error) *Reader {
	r := New()
	r.ready = ready
	return r
}

// People is how many have a call.
func (r *Reader) People() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.people)
}
