package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	// lineEvery is the time between two lines where there is no terminal.
	lineEvery = time.Second
	drawEvery = 100 * time.Millisecond
	width     = 30
)

// Step is how far the work is.
type Step struct {
	Done, Total int64  // Total 0: not known
	Text        string // a line in words
	Machine     any    // the same as JSON
}

// Progress shows steps. It is used by one goroutine.
type Progress struct {
	out  io.Writer
	json bool
	bar  *progressbar.ProgressBar // on a terminal
	last time.Time
}

// New returns a Progress that writes to out. Title names the work on a terminal.
func New(out io.Writer, title string, machine bool) *Progress {
	p := &Progress{out: out, json: machine, last: time.Now()}
	if f, ok := out.(*os.File); ok && !machine && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a file descriptor fits
		p.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(title), progressbar.OptionSetWidth(width),
			progressbar.OptionThrottle(drawEvery), progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetRenderBlankState(true), progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(out) }))
	}
	return p
}

// Report shows a step, if it is time to.
func (p *Progress) Report(s Step) {
	if p.bar != nil {
		p.draw(s)
		return
	}
	if time.Since(p.last) >= lineEvery {
		p.line(s)
	}
}

// End shows the last step: always as a line where there is no terminal.
func (p *Progress) End(s Step) {
	if p.bar == nil {
		p.line(s)
		return
	}
	p.draw(s)
	if !p.bar.IsFinished() { // stopped, or fewer rows than were counted
		_, _ = fmt.Fprintln(p.out)
	}
}

func (p *Progress) draw(s Step) {
	if s.Total > 0 && p.bar.GetMax64() != s.Total {
		p.bar.ChangeMax64(max(s.Total, s.Done))
	}
	_ = p.bar.Set64(s.Done) // an error is the terminal's
}

func (p *Progress) line(s Step) {
	p.last = time.Now()
	if p.json {
		_ = json.NewEncoder(p.out).Encode(s.Machine)
		return
	}
	_, _ = fmt.Fprintln(p.out, s.Text)
}
