package commandline

import (
	"errors"
	"fmt"
	"strings"
)

// Problems collects what is wrong, so that one look reports everything, in the
// order in which it was found.
type Problems struct{ list Invalid }

// Addf adds a problem in words.
func (p *Problems) Addf(format string, args ...any) {
	p.list = append(p.list, fmt.Sprintf(format, args...))
}

// Add adds an error, each of its problems if it is Invalid, and nothing for nil.
func (p *Problems) Add(err error) {
	var many Invalid
	switch {
	case errors.As(err, &many):
		p.list = append(p.list, many...)
	case err != nil:
		p.list = append(p.list, err.Error())
	}
}

// Err returns nil or Invalid.
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	return p.list
}

// Invalid is everything that is wrong with the settings: at least one problem.
type Invalid []string

func (i Invalid) Error() string {
	if len(i) == 1 {
		return i[0]
	}
	return "the settings have these problems:\n  - " + strings.Join(i, "\n  - ")
}
