package progress_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
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

// TestBar: on a terminal there is a bar with the share that is done, and JSON lines still for machines.
func TestBar(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		machine bool
		want    []string
		not     []string
	}{
		"for people":   {false, []string{"work", "50%", "100%"}, []string{`{"done"`, "20 of 40"}},
		"for machines": {true, []string{`{"done":40}`}, []string{"%"}},
	} {
		program, screen := terminal(t)
		shown := make(chan string, 1)
		go func() {
			b, _ := io.ReadAll(screen) // ends with an error when the program's end is closed
			shown <- string(b)
		}()
		p := progress.New(program, "work", c.machine)
		for _, n := range []int64{0, 20, 40} {
			time.Sleep(150 * time.Millisecond) // the bar is drawn ten times a second
			p.Report(step(n, 40))
		}
		p.End(step(40, 40))
		_ = program.Close()
		got := <-shown
		for _, want := range c.want {
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
