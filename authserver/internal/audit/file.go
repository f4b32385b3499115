package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/tenant"
)

// An export is lines of JSON: for each chain a header, then its events in
// order, each checkpoint after the event it is about.
type header struct {
	Type     string    `json:"type"` // "chain"
	Tenant   string    `json:"tenant"`
	Seq      int64     `json:"from_seq"` // of the event before the first one here; 0: none
	Hash     Hash      `json:"from_hash"`
	Exported time.Time `json:"exported_at"`
}

type eventLine struct {
	Type string `json:"type"` // "event"
	Sealed
}

type checkpointLine struct {
	Type string `json:"type"` // "checkpoint"
	Checkpoint
}

const maxLine = 1 << 20

// Export writes a chain so that Files can verify it. It returns how many
// events it wrote.
func Export(w io.Writer, in Evidence) (int64, error) {
	out := json.NewEncoder(w)
	from := in.From
	if from.Seq == 0 {
		from.Hash = Genesis(in.Tenant)
	}
	if err := out.Encode(header{"chain", in.Tenant.String(), from.Seq, from.Hash, in.Now.UTC()}); err != nil {
		return 0, fmt.Errorf("writing export: %w", err)
	}
	next, stop := iter.Pull2(in.Checkpoints)
	defer stop()
	c, err, more := next()
	var n int64
	for e, eventErr := range in.Events {
		if err := errors.Join(err, eventErr); err != nil {
			return n, err
		}
		e.At = e.At.UTC()
		if err := out.Encode(eventLine{"event", e}); err != nil {
			return n, fmt.Errorf("writing export: %w", err)
		}
		n++
		for more && err == nil && c.Seq <= e.Seq {
			if err := out.Encode(checkpointLine{"checkpoint", c}); err != nil {
				return n, fmt.Errorf("writing export: %w", err)
			}
			c, err, more = next()
		}
	}
	for more && err == nil { // of events that are gone: verifying must show it
		if err := out.Encode(checkpointLine{"checkpoint", c}); err != nil {
			return n, fmt.Errorf("writing export: %w", err)
		}
		c, err, more = next()
	}
	return n, err
}

// VerifyFile verifies every chain of an export. The keys are those that the
// tenants published when it was made.
func VerifyFile(f io.ReaderAt, size int64, keys jose.JSONWebKeySet, anchors []Anchor) ([]*Report, error) {
	chains, err := chainsOf(io.NewSectionReader(f, 0, size), size)
	if err != nil {
		return nil, err
	}
	var out []*Report
	for _, c := range chains {
		body := func() io.Reader { return io.NewSectionReader(f, c.begin, c.end-c.begin) }
		r, err := Verify(Evidence{
			Tenant: c.tenant, From: Head{c.Seq, c.Hash}, Keys: keys, Now: c.Exported, Anchors: AnchorsOf(c.tenant, anchors),
			Events: lines(body, "event", func(l eventLine) Sealed { l.Tenant = c.tenant; return l.Sealed }),
			Checkpoints: lines(body, "checkpoint", func(l checkpointLine) Checkpoint {
				l.Checkpoint.Tenant = c.tenant
				return l.Checkpoint
			}),
		})
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// AnchorsOf are the anchors of one tenant.
func AnchorsOf(t tenant.ID, all []Anchor) []Anchor {
	var out []Anchor
	for _, a := range all {
		if a.Tenant == t {
			out = append(out, a)
		}
	}
	return out
}

// part is a chain in a file: the lines between begin and end.
type part struct {
	header
	tenant     tenant.ID
	begin, end int64
}

func chainsOf(r io.Reader, size int64) ([]part, error) {
	var out []part
	var at int64
	for line, err := range split(r) {
		if err != nil {
			return nil, err
		}
		begin := at
		at += int64(len(line)) + 1
		var h header
		if err := json.Unmarshal(line, &h); err != nil {
			return nil, errors.New("the file is no audit export: a line is not JSON")
		}
		if h.Type != "chain" {
			if len(out) == 0 {
				return nil, errors.New("the file is no audit export: it has no header")
			}
			continue
		}
		if len(out) > 0 {
			out[len(out)-1].end = begin
		}
		t, err := tenant.ParseID(h.Tenant)
		if err != nil || h.Seq < 0 || (h.Seq == 0 && h.Hash != Genesis(t)) {
			return nil, errors.New("the file has a header that no export writes")
		}
		out = append(out, part{h, t, min(at, size), size})
	}
	if len(out) == 0 {
		return nil, errors.New("the file is no audit export: it has no header")
	}
	return out, nil
}

func split(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 64<<10), maxLine)
		s.Split(newline)
		for s.Scan() {
			if !yield(s.Bytes(), nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(nil, fmt.Errorf("reading export: %w", err))
		}
	}
}

// newline splits at \n alone, so that lengths add up to offsets.
func newline(data []byte, atEOF bool) (int, []byte, error) {
	for i, b := range data {
		if b == '\n' {
			return i + 1, data[:i], nil
		}
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// lines are the values of one type of line.
func lines[L, V any](body func() io.Reader, kind string, value func(L) V) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		var none V
		for line, err := range split(body()) {
			if err != nil {
				yield(none, err)
				return
			}
			var typed struct {
				Type string `json:"type"`
			}
			if err := json.Unmarshal(line, &typed); err != nil || (typed.Type != "event" && typed.Type != "checkpoint") {
				yield(none, errors.New("the file has a line that is neither event nor checkpoint"))
				return
			}
			if typed.Type != kind {
				continue
			}
			var l L
			if err := json.Unmarshal(line, &l); err != nil {
				yield(none, fmt.Errorf("the file has a malformed %s", kind))
				return
			}
			if !yield(value(l), nil) {
				return
			}
		}
	}
}
