package office

import (
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
)

// The objects of a PDF (ISO 32000-1 §7.3): float64, string (of bytes), name,
// list, dict, ref, *stream, bool, nil, and keyword for operators.
type (
	name    string
	keyword string
	list    []any
	dict    map[name]any
	ref     int
	stream  struct {
		dict dict
		raw  []byte
	}
)

const (
	maxNested  = 60
	maxMembers = 200_000
)

var errSyntax = errors.New("not a PDF object")

// lexer reads objects from bytes.
type lexer struct {
	b    []byte
	i    int
	look func(n int) error // counts
}

func space(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0
}

func delimiter(c byte) bool { return bytes.IndexByte([]byte("()<>[]{}/%"), c) >= 0 }

func (l *lexer) skip() {
	for l.i < len(l.b) {
		switch c := l.b[l.i]; {
		case space(c):
			l.i++
		case c == '%':
			for l.i < len(l.b) && l.b[l.i] != '\n' && l.b[l.i] != '\r' {
				l.i++
			}
		default:
			return
		}
	}
}

// object reads the next object; io.EOF at the end.
func (l *lexer) object(depth int) (any, error) {
	if depth > maxNested {
		return nil, errSyntax
	}
	start := l.i
	o, err := l.leaf(depth)
	if err := l.look(l.i - start); err != nil {
		return nil, err
	}
	return o, err
}

func (l *lexer) leaf(depth int) (any, error) {
	if l.skip(); l.i >= len(l.b) {
		return nil, io.EOF
	}
	switch c := l.b[l.i]; {
	case c == '/':
		l.i++
		return l.name(), nil
	case c == '(':
		return l.text(), nil
	case c == '[':
		l.i++
		return l.list(depth)
	case c == '<' && l.i+1 < len(l.b) && l.b[l.i+1] == '<':
		l.i += 2
		return l.dict(depth)
	case c == '<':
		return l.hex(), nil
	case c == ']' || c == '>' || c == ')' || c == '{' || c == '}':
		l.i++
		if c == '>' && l.i < len(l.b) && l.b[l.i] == '>' {
			l.i++
			return keyword(">>"), nil
		}
		return keyword(c), nil
	}
	start := l.i
	for l.i < len(l.b) && !space(l.b[l.i]) && !delimiter(l.b[l.i]) {
		l.i++
	}
	word := string(l.b[start:l.i])
	if n, err := strconv.ParseFloat(word, 64); err == nil && bytes.IndexByte([]byte("0123456789+-."), word[0]) >= 0 {
		return l.reference(n), nil
	}
	switch word {
	case "true", "false":
		return word == "true", nil
	case "null":
		return nil, nil
	}
	return keyword(word), nil
}

// reference reads "12 0 R" after its first number.
func (l *lexer) reference(n float64) any {
	if n < 0 || n != float64(int(n)) || n > 1e7 {
		return n
	}
	i := l.i
	for _, want := range []string{"#", "R"} {
		for i < len(l.b) && space(l.b[i]) {
			i++
		}
		start := i
		for i < len(l.b) && i-start < 6 && !space(l.b[i]) && !delimiter(l.b[i]) {
			i++
		}
		word := string(l.b[start:i])
		if _, err := strconv.Atoi(word); want == "#" && err != nil || want == "R" && word != "R" {
			return n
		}
	}
	l.i = i
	return ref(int(n))
}

func (l *lexer) name() name {
	var out []byte
	for l.i < len(l.b) && !space(l.b[l.i]) && !delimiter(l.b[l.i]) {
		c := l.b[l.i]
		if c == '#' && l.i+2 < len(l.b) {
			if v, err := strconv.ParseUint(string(l.b[l.i+1:l.i+3]), 16, 8); err == nil {
				c, l.i = byte(v), l.i+2
			}
		}
		out = append(out, c)
		l.i++
	}
	return name(out)
}

func (l *lexer) text() string {
	var out []byte
	depth := 0
	for ; l.i < len(l.b); l.i++ {
		c := l.b[l.i]
		switch {
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				l.i++
				return string(out)
			}
		case c == '\\' && l.i+1 < len(l.b):
			l.i++
			switch c = l.b[l.i]; {
			case c == '\n':
				continue
			case c == '\r':
				if l.i+1 < len(l.b) && l.b[l.i+1] == '\n' {
					l.i++
				}
				continue
			case c >= '0' && c <= '7':
				v := 0
				end := min(l.i+3, len(l.b))
				for ; l.i < end && l.b[l.i] >= '0' && l.b[l.i] <= '7'; l.i++ {
					v = v*8 + int(l.b[l.i]-'0')
				}
				l.i--
				c = byte(v)
			default:
				if at := bytes.IndexByte([]byte("nrtbf"), c); at >= 0 {
					c = "\n\r\t\b\f"[at]
				}
			}
		}
		out = append(out, c)
	}
	return string(out)
}

func (l *lexer) hex() string {
	end := bytes.IndexByte(l.b[l.i:], '>')
	if end < 0 {
		l.i = len(l.b)
		return ""
	}
	out := unhex(l.b[l.i+1 : l.i+end])
	l.i += end + 1
	return string(out)
}

func unhex(b []byte) []byte {
	var digits []byte
	for _, c := range b {
		if !space(c) {
			digits = append(digits, c)
		}
	}
	if len(digits)%2 == 1 {
		digits = append(digits, '0')
	}
	out := make([]byte, len(digits)/2)
	n, _ := hex.Decode(out, digits)
	return out[:n]
}

func (l *lexer) list(depth int) (any, error) {
	out := list{}
	for len(out) < maxMembers {
		o, err := l.object(depth + 1)
		if err != nil {
			return nil, err
		}
		if o == keyword("]") {
			return out, nil
		}
		out = append(out, o)
	}
	return nil, errSyntax
}

func (l *lexer) dict(depth int) (any, error) {
	out := dict{}
	for len(out) < maxMembers {
		k, err := l.object(depth + 1)
		if err != nil {
			return nil, err
		}
		if k == keyword(">>") {
			return out, nil
		}
		key, ok := k.(name)
		if !ok {
			return nil, errSyntax
		}
		if out[key], err = l.object(depth + 1); err != nil {
			return nil, err
		}
		if out[key] == keyword(">>") {
			return nil, errSyntax
		}
	}
	return nil, errSyntax
}

// decode undoes a stream's filters; what it cannot undo is errSyntax.
func (f *pdf) decode(s *stream) ([]byte, error) {
	filters, ok := f.resolve(s.dict["Filter"]).(list)
	if n, one := f.resolve(s.dict["Filter"]).(name); one {
		filters, ok = list{n}, true
	}
	if !ok {
		return s.raw, nil
	}
	out := s.raw
	for i, filter := range filters {
		if i > 3 {
			return nil, errSyntax
		}
		switch f.resolve(filter) {
		case name("FlateDecode"), name("Fl"):
			z, err := zlib.NewReader(bytes.NewReader(out))
			if err != nil {
				return nil, errSyntax
			}
			unpacked, err := io.ReadAll(&inflated{z, f.reading})
			if errors.Is(err, ErrTooLarge) {
				return nil, err
			}
			if out = unpacked; len(out) == 0 && err != nil { // a cut end is common; what came before is text
				return nil, errSyntax
			}
			if out, err = f.predicted(s, out); err != nil {
				return nil, err
			}
		case name("ASCIIHexDecode"), name("AHx"):
			out = unhex(bytes.TrimRight(out, "> \r\n"))
		case name("ASCII85Decode"), name("A85"):
			trimmed := bytes.TrimSuffix(bytes.TrimSpace(out), []byte("~>"))
			buf := make([]byte, len(trimmed)+4)
			n, _, err := ascii85.Decode(buf, trimmed, true)
			if err != nil {
				return nil, errSyntax
			}
			out = buf[:n]
		default:
			return nil, errSyntax
		}
	}
	return out, nil
}

// inflated counts what a stream unpacks to.
type inflated struct {
	io.Reader
	of *reading
}

func (r *inflated) Read(b []byte) (int, error) {
	if r.of.unpacked <= 0 {
		return 0, ErrTooLarge
	}
	n, err := r.Reader.Read(b[:min(int64(len(b)), r.of.unpacked)])
	r.of.unpacked -= int64(n)
	return n, err
}

// predicted undoes PNG prediction (ISO 32000-1 §7.4.4.4) of bytes.
func (f *pdf) predicted(s *stream, b []byte) ([]byte, error) {
	params, _ := f.resolve(s.dict["DecodeParms"]).(dict)
	if predictor, _ := f.resolve(params["Predictor"]).(float64); predictor < 10 {
		return b, nil
	}
	columns, _ := f.resolve(params["Columns"]).(float64)
	width := int(columns)
	if width < 1 || width > 100_000 {
		return nil, errSyntax
	}
	prior := make([]byte, width)
	out := make([]byte, 0, len(b))
	for len(b) > width {
		kind, row := b[0], b[1:width+1]
		b = b[width+1:]
		for i := range row {
			left, upLeft := byte(0), byte(0)
			if i > 0 {
				left, upLeft = row[i-1], prior[i-1]
			}
			switch kind {
			case 1:
				row[i] += left
			case 2:
				row[i] += prior[i]
			case 3:
				row[i] += byte((int(left) + int(prior[i])) / 2)
			case 4:
				row[i] += paeth(left, prior[i], upLeft)
			}
		}
		out = append(out, row...)
		prior = row
	}
	return out, nil
}

func paeth(a, b, c byte) byte {
	abs := func(n int) int { return max(n, -n) }
	pa, pb, pc := abs(int(b)-int(c)), abs(int(a)-int(c)), abs(int(a)+int(b)-2*int(c))
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}
