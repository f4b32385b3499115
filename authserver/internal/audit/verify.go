package audit

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/tenant"
)

// Overdue is how old an event can be that no checkpoint covers yet, by a wide
// margin; an older one means that checkpoints were removed or that no server runs.
const Overdue = 15 * time.Minute

const maxFindings = 100 // of one chain

// Finding is a place where a chain is not what was sealed.
type Finding struct {
	Seq     int64  `json:"seq"` // first place concerned
	Problem string `json:"problem"`
}

// Report is what verifying a chain has shown.
type Report struct {
	Tenant      string    `json:"tenant"`
	First       int64     `json:"first_seq"` // 0: no event
	Events      int64     `json:"events"`
	Head        int64     `json:"head_seq"`
	HeadHash    Hash      `json:"head_hash"`
	Checkpoints int64     `json:"checkpoints"`
	Unverified  int64     `json:"checkpoints_of_unknown_keys"` // their hashes were compared, their signatures not
	Attested    int64     `json:"attested_seq"`                // up to here a known key has signed
	Findings    []Finding `json:"findings"`
	More        bool      `json:"more_findings,omitempty"` // than are listed
}

// OK reports whether everything is as it was sealed.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

func (r *Report) find(seq int64, format string, args ...any) {
	if len(r.Findings) == maxFindings {
		r.More = true
		return
	}
	r.Findings = append(r.Findings, Finding{seq, fmt.Sprintf(format, args...)})
}

// Evidence is a chain and what it is compared with. Events and Checkpoints come
// in the order of their places.
type Evidence struct {
	Tenant      tenant.ID
	From        Head // the chain begins after it; zero: at the beginning
	Events      iter.Seq2[Sealed, error]
	Checkpoints iter.Seq2[Checkpoint, error]
	Keys        jose.JSONWebKeySet // trusted; checkpoints of older keys may be unknown
	Anchors     []Anchor
	Now         time.Time // when the chain was read
}

// Verify looks at a whole chain. The error is about reading it; what is wrong
// with it is in the report.
func Verify(in Evidence) (*Report, error) {
	v := verification{Evidence: in, r: &Report{Tenant: in.Tenant.String(), Findings: []Finding{}}, seq: in.From.Seq, hash: in.From.Hash}
	if v.seq == 0 {
		v.hash = Genesis(in.Tenant)
	}
	next, stop := iter.Pull2(in.Checkpoints)
	defer stop()
	v.next = next
	if err := v.advance(); err != nil {
		return nil, err
	}
	for e, err := range in.Events {
		if err != nil {
			return nil, err
		}
		if err := v.event(e); err != nil {
			return nil, err
		}
	}
	return v.r, v.end()
}

type verification struct {
	Evidence
	r    *Report
	seq  int64 // of the last event
	hash Hash  // of the last event, as stored

	next    func() (Checkpoint, error, bool)
	pending *Checkpoint // the next one to compare

	newestUnknown bool      // the newest checkpoint's key is not known
	unattested    time.Time // of the oldest event since the last attested one
	unattestedSeq int64
}

func (v *verification) advance() error {
	c, err, ok := v.next()
	v.pending = nil
	if !ok {
		return nil
	}
	if err != nil {
		return err
	}
	v.pending = &c
	return nil
}

func (v *verification) event(e Sealed) error {
	r := v.r
	switch want := v.seq + 1; {
	case e.Seq < want:
		r.find(e.Seq, "event %d comes twice or out of order", e.Seq)
		return nil
	case e.Seq > want && v.seq == 0:
		r.find(want, "the chain begins at %d: the events before are gone", e.Seq)
	case e.Seq > want:
		r.find(want, "the events from %d to %d are gone", want, e.Seq-1)
	case Chain(v.hash, e.Seq, e.Event) != e.Hash:
		r.find(e.Seq, "event %d is not the one that was sealed here", e.Seq)
	}
	// Checkpoints of places that no event has.
	for v.pending != nil && v.pending.Seq < e.Seq {
		if err := v.checkpoint(Hash{}); err != nil {
			return err
		}
	}
	v.seq, v.hash = e.Seq, e.Hash
	if r.First == 0 {
		r.First = e.Seq
	}
	r.Events++
	r.Head, r.HeadHash = e.Seq, e.Hash
	if v.unattestedSeq == 0 {
		v.unattestedSeq, v.unattested = e.Seq, e.At
	}
	for _, a := range v.Anchors {
		if a.Seq == e.Seq && a.Hash != e.Hash {
			r.find(e.Seq, "the anchor at %d knows another chain: it was rewritten at or before this place", e.Seq)
		}
	}
	for v.pending != nil && v.pending.Seq == e.Seq {
		if err := v.checkpoint(e.Hash); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint compares the pending checkpoint with the stored hash of its place;
// the zero hash: there is no such place.
func (v *verification) checkpoint(stored Hash) error {
	c, r := v.pending, v.r
	r.Checkpoints++
	err := c.verify(v.Keys)
	v.newestUnknown = errors.Is(err, errUnknownKey)
	switch {
	case c.Tenant != v.Tenant:
		r.find(c.Seq, "a checkpoint is another tenant's")
	case err != nil && !v.newestUnknown:
		r.find(c.Seq, "the checkpoint at %d was forged: %v", c.Seq, err)
	case stored == Hash{}:
		r.find(c.Seq, "the checkpoint at %d has no event", c.Seq)
	case stored != c.Hash:
		r.find(c.Seq, "the checkpoint at %d knows another chain: it was rewritten at or before this place, after %d", c.Seq, r.Attested)
	case v.newestUnknown:
		r.Unverified++
	default:
		r.Attested, v.unattestedSeq = c.Seq, 0
	}
	return v.advance()
}

func (v *verification) end() error {
	r := v.r
	for v.pending != nil {
		if v.pending.Seq > v.seq {
			r.find(v.seq+1, "the events from %d on are gone: a checkpoint knows a chain of at least %d", v.seq+1, v.pending.Seq)
		}
		if err := v.checkpoint(Hash{}); err != nil {
			return err
		}
	}
	for _, a := range v.Anchors {
		switch {
		case a.Tenant != v.Tenant:
			r.find(a.Seq, "the anchor is another tenant's")
		case a.Seq > v.seq:
			r.find(v.seq+1, "the events from %d on are gone: the anchor knows a chain of at least %d", v.seq+1, a.Seq)
		case a.Seq <= v.From.Seq && v.From.Seq > 0:
			r.find(a.Seq, "the anchor's place is before this part of the chain")
		}
	}
	switch {
	case r.Events == 0:
	case r.Checkpoints == 0:
		r.find(r.First, "no checkpoint covers these events: they were removed, or no server has sealed since")
	case v.newestUnknown:
		r.find(r.Attested+1, "the newest checkpoint is signed by an unknown key: give the keys that were published when it was made")
	case v.unattestedSeq > 0 && v.Now.Sub(v.unattested) > Overdue:
		r.find(v.unattestedSeq, "events from %d on are older than %v and no checkpoint covers them: checkpoints were removed, or no server runs", v.unattestedSeq, Overdue)
	}
	return nil
}
