package mcpserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
)

const (
	methodListTools = `"tools/list"`
	maxAsked        = 4 << 10 // bytes of a request that is looked at; a plain one has a few hundred
	maxListed       = 2 << 20 // bytes of an answer that is kept
	maxKnown        = 256     // forms of the request
	maxAnswers      = 8       // different answers; the library has one for each era
)

// listing keeps the library's own answers to tools/list, which it would make anew,
// with all schemas, for each request. An answer is given again only to a request
// that is the same in everything the library reads, but for its id: the content
// type, the headers of MCP, and every byte of params. So it never depends on how
// the request is understood here, and the tools do not change while the server
// runs. Safe for concurrent use; the zero value knows nothing yet.
type listing struct {
	mu      sync.RWMutex
	known   map[[sha256.Size]byte][]byte // answers from behind the id on, by form; at most maxKnown
	answers map[[sha256.Size]byte][]byte // the different ones; at most maxAnswers
}

// form is a request for the list, without its id.
type form struct {
	key [sha256.Size]byte
	id  []byte // as it stands in the request, and in the answer
}

// formOf reads a request for the list. It reports false for every request that it
// does not know for sure: the library answers it.
func formOf(r *http.Request, body []byte) (form, bool) {
	if len(body) > maxAsked || !bytes.Contains(body, []byte(methodListTools)) { // most are calls of tools, and read no further
		return form{}, false
	}
	members, ok := membersOf(body)
	if !ok || string(members["method"]) != methodListTools || !plainID(members["id"]) {
		return form{}, false
	}
	h := sha256.New()
	part := func(b string) { // no byte of a header or of JSON outside of strings is zero, and none in one
		_, _ = io.WriteString(h, b)
		_, _ = h.Write([]byte{0})
	}
	for _, name := range []string{"Content-Type", mcp.HeaderProtocolVersion, mcp.HeaderMethod} {
		values := r.Header.Values(name)
		if len(values) > 1 {
			return form{}, false
		}
		part(strings.Join(values, ""))
	}
	for name := range r.Header {
		// The session is ours, another one for each request (see cancels).
		if strings.HasPrefix(name, "Mcp-") && name != mcp.HeaderMethod && name != sessionHeader && !strings.EqualFold(name, mcp.HeaderProtocolVersion) {
			return form{}, false
		}
	}
	part(string(members["jsonrpc"]))
	_, has := members["params"]
	if has {
		part(string(members["params"]))
	}
	out := form{id: members["id"]}
	h.Sum(out.key[:0])
	return out, true
}

// membersOf reads a JSON-RPC request that has its members once each, under their
// exact names: a decoder that takes the last of two, or "ID" for "id", reads the
// same.
func membersOf(body []byte) (map[string]json.RawMessage, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, false
		}
		switch name {
		case "jsonrpc", "id", "method", "params":
		default:
			return nil, false
		}
		var value json.RawMessage
		if _, twice := members[name]; twice || d.Decode(&value) != nil {
			return nil, false
		}
		members[name] = value
	}
	if _, err := d.Token(); err != nil { // the brace
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	return members, true
}

// plainID reports whether an id comes back from the library byte for byte: a
// string or a number in the form in which Go writes it.
func plainID(raw json.RawMessage) bool {
	var id any
	if len(raw) == 0 || json.Unmarshal(raw, &id) != nil {
		return false
	}
	switch id.(type) {
	case string, float64:
		again, err := json.Marshal(id)
		return err == nil && bytes.Equal(again, raw)
	}
	return false
}

// begin is how the library's answers begin.
func (f form) begin() []byte { return append([]byte(`{"jsonrpc":"2.0","id":`), f.id...) }

// serve answers, or lets next answer and learns from it.
func (l *listing) serve(w http.ResponseWriter, r *http.Request, f form, next http.Handler) {
	l.mu.RLock()
	rest, ok := l.known[f.key]
	l.mu.RUnlock()
	if !ok {
		heard := &heard{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(heard, r)
		l.learn(f, heard)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(f.begin())
	_, _ = w.Write(rest)
}

// learn keeps an answer that is a whole result. An error is made anew each time.
func (l *listing) learn(f form, h *heard) {
	rest, ok := bytes.CutPrefix(h.body, f.begin())
	if !ok || h.failed || h.status != http.StatusOK || h.Header().Get("Content-Type") != "application/json" ||
		!bytes.HasPrefix(rest, []byte(`,"result":{`)) || !json.Valid(h.body) {
		return
	}
	sum := sha256.Sum256(rest)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known, l.answers = map[[sha256.Size]byte][]byte{}, map[[sha256.Size]byte][]byte{}
	}
	same, ok := l.answers[sum]
	if !ok {
		if len(l.answers) == maxAnswers {
			return
		}
		same = bytes.Clone(rest)
		l.answers[sum] = same
	}
	for k := range l.known { // Go begins at a random place
		if len(l.known) < maxKnown {
			break
		}
		delete(l.known, k)
	}
	l.known[f.key] = same
}

// heard is a response that is passed on and kept.
type heard struct {
	http.ResponseWriter
	status int
	body   []byte
	failed bool // not all of it was written or kept
}

func (h *heard) WriteHeader(status int) {
	h.status = status
	h.ResponseWriter.WriteHeader(status)
}

func (h *heard) Write(b []byte) (int, error) {
	if len(h.body)+len(b) > maxListed {
		h.failed = true
	} else {
		h.body = append(h.body, b...)
	}
	n, err := h.ResponseWriter.Write(b)
	h.failed = h.failed || err != nil || n != len(b)
	return n, err
}

// Flush passes a flush on: the library asks whether a response can stream.
func (h *heard) Flush() { _ = http.NewResponseController(h.ResponseWriter).Flush() }

// Unwrap lets http.ResponseController reach the connection.
func (h *heard) Unwrap() http.ResponseWriter { return h.ResponseWriter }
