package rows

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Row is one requirement.
type Row struct {
	ID          string // "AS-D1" of the protocol, "A1" of the advisories
	Level       string // as PROTOCOL.md abbreviates it: M, MN, S, SN, y
	Requirement string
	Reason      string // why there is no test; empty for every row that has one
}

// Advisory reports whether the row is a class of attack, not a protocol row.
func (r Row) Advisory() bool { return !strings.HasPrefix(r.ID, "AS-") }

// Section is the key of the row's section: "AS-D", or "A".
func (r Row) Section() string { return strings.TrimRight(r.ID, "0123456789") }

var id = regexp.MustCompile(`^(?:AS-[A-Z][0-9]+|A[0-9]{1,2})$`)

// IDs returns the row ids that a test name begins with. A name that is nothing
// but an id declares nothing: it has to say what it shows.
func IDs(name string) []string {
	words := strings.Split(name, " ")
	n := 0
	for n < len(words)-1 && id.MatchString(words[n]) {
		n++
	}
	return words[:n]
}

// Rest is the name without its ids.
func Rest(name string) string {
	return strings.Join(strings.Split(name, " ")[len(IDs(name)):], " ")
}

// Read reads the table. Its lines are id, level, requirement and, only for a
// row without a test, the reason, separated by tabs; # begins a comment line.
func Read(file string) ([]Row, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var out []Row
	seen := map[string]bool{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if lines.Text() == "" || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) == 3 {
			fields = append(fields, "")
		}
		if len(fields) != 4 || !id.MatchString(fields[0]) || fields[1] == "" || fields[2] == "" {
			return nil, fmt.Errorf("%s:%d: a row is id, level, requirement and perhaps a reason, separated by tabs", file, n)
		}
		if seen[fields[0]] {
			return nil, fmt.Errorf("%s:%d: %s stands there twice", file, n, fields[0])
		}
		seen[fields[0]] = true
		out = append(out, Row{fields[0], fields[1], fields[2], fields[3]})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if len(out) == 0 {
		return nil, errors.New(file + " has no rows")
	}
	return out, nil
}
