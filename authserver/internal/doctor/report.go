package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Timeout bounds each step.
const Timeout = 10 * time.Second

// State is how a step ended.
type State string

const (
	OK      State = "ok"
	Warn    State = "warn"
	Fail    State = "FAIL"
	Skipped State = "skipped"
)

// Step is one thing that was looked at.
type Step struct {
	Name   string `json:"step"`
	State  State  `json:"state"`
	Found  string `json:"found,omitempty"`  // what there is
	Advice string `json:"advice,omitempty"` // what to do; with Warn and Fail
}

// Report is what was found, in the order of looking.
type Report struct{ Steps []Step }

// Failed reports whether a step failed.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool { return s.State == Fail })
}

// finding is a result that needs somebody to do something.
type finding struct {
	state         State
	found, advice string
}

func (f *finding) Error() string { return f.found }

func bad(found, advice string) error { return &finding{Fail, found, advice} }

func odd(found, advice string) error { return &finding{Warn, found, advice} }

// look runs a step unless one that it needs has not passed, and reports whether
// it passed, warnings included. A plain error is a failure without advice.
func (r *Report) look(ctx context.Context, name string, needs []string, step func(ctx context.Context) (string, error)) bool {
	for _, need := range needs {
		if !r.passed(need) {
			r.Steps = append(r.Steps, Step{Name: name, State: Skipped, Found: "needs: " + need})
			return false
		}
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	found, err := step(ctx)
	s := Step{Name: name, State: OK, Found: found}
	var f *finding
	switch {
	case errors.As(err, &f):
		s.State, s.Found, s.Advice = f.state, f.found, f.advice
	case err != nil:
		s.State, s.Found = Fail, oneLine(err)
	}
	r.Steps = append(r.Steps, s)
	return s.State != Fail
}

func (r *Report) passed(name string) bool {
	for _, s := range r.Steps {
		if s.Name == name {
			return s.State == OK || s.State == Warn
		}
	}
	return false
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Text is the report for a terminal.
func (r *Report) Text() string {
	var b strings.Builder
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "%-8s %s", s.State, s.Name)
		if s.Found != "" {
			fmt.Fprintf(&b, ": %s", strings.ReplaceAll(s.Found, "\n", "\n       ")) // a list of problems
		}
		b.WriteByte('\n')
		if s.Advice != "" {
			fmt.Fprintf(&b, "         -> %s\n", s.Advice)
		}
	}
	return b.String()
}
