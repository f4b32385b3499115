package progress_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/authserver/internal/progress"
)

func step(done, total int64) progress.Step {
	return progress.Step{Done: done, Total: total, Text: fmt.Sprintf("%d of %d", done, total), Machine: map[string]int64{"done": done}}
}

// TestLines: where there is no terminal: a line a second and always the last, in words or as JSON, and nothing to steer a terminal.
func TestLines(t *testing.T) {
	t.Parallel()
	for _, machine := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			p := progress.New(&out, "work", machine)
			for i := range int64(30) {
				time.Sleep(100 * time.Millisecond)
				p.Report(step(i+1, 40))
			}
			p.End(step(40, 40))
			want := "10 of 40\n20 of 40\n30 of 40\n40 of 40\n"
			if machine {
				want = ""
				for _, n := range []int64{10, 20, 30, 40} {
					b, err := json.Marshal(map[string]int64{"done": n})
					if err != nil {
						t.Fatal(err)
					}
					want += string(b) + "\n"
				}
			}
			if out.String() != want {
				t.Errorf("%q", out.String())
			}
		})
	}
}

// terminal is a pseudo-terminal: what a program writes to the one end is read from the other.
func terminal(t *testing.T) (program, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	return program, screen
}

// shown is what the screen has shown. Safe for concurrent use.
type shown struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shown) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestBar: on a terminal there is a bar with the share that is done, and JSON lines still for machines.
func TestBar(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		machine bool
		half    string
		want    []string
		not     []string
	}{
		"for people":   {false, "50%", []string{"work", "100%"}, []string{`{"done"`, "20 of 40"}},
		"for machines": {true, `{"done":20}`, []string{`{"done":40}`}, []string{"%"}},
	} {
		program, screen := terminal(t)
		shown, ended := &shown{}, make(chan struct{})
		go func() {
			_, _ = io.Copy(shown, screen) // ends with an error when the program's end is closed
			close(ended)
		}()
		p := progress.New(program, "work", c.machine)
		// It is drawn ten times a second: reported until it is seen.
		for deadline := time.Now().Add(time.Minute); !strings.Contains(shown.String(), c.half) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			p.Report(step(20, 40))
		}
		p.End(step(40, 40))
		_ = program.Close()
		<-ended
		got := shown.String()
		for _, want := range append(c.want, c.half) {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q has no %q", name, got, want)
			}
		}
		for _, not := range c.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: %q has %q", name, got, not)
			}
		}
	}
}
