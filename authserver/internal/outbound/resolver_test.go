package outbound_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a DNS server in memory: nothing of it is ever on a wire. Each name
// has a list of answers; a later question gets the next one, the last stays.
type names struct {
	mu    sync.Mutex
	zone  map[string][][]netip.Addr
	asked map[string]int // questions by name, both types together
}

func newNames() *names {
	return &names{zone: map[string][][]netip.Addr{}, asked: map[string]int{}}
}

func (n *names) add(name string, answers ...[]netip.Addr) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.zone[name+"."] = answers
	return name
}

func (n *names) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	sum := 0
	for _, one := range n.asked {
		sum += one
	}
	return sum
}

// resolver is Go's own resolver with this server behind it.
func (n *names) resolver(t *testing.T) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = ours.Close() }()
			for {
				if err := n.answer(ours); err != nil {
					if err != io.EOF && err != io.ErrClosedPipe {
						t.Errorf("answering a question: %v", err)
					}
					return
				}
			}
		}()
		return theirs, nil
	}}
}

// answer reads one question as over TCP (RFC 1035 §4.2.2) and answers it.
func (n *names) answer(c net.Conn) error {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, query); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return err
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	q := m.Questions[0]
	addresses, known := n.take(q.Name.String())
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addresses {
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	return err
}

// take returns the answer of this lookup, which is a question for A and one for
// AAAA.
func (n *names) take(name string) ([]netip.Addr, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	lookup := n.asked[name] / 2
	n.asked[name]++
	answers := n.zone[name]
	if len(answers) == 0 {
		return nil, false
	}
	return answers[min(lookup, len(answers)-1)], true
}
