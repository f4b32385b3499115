package text

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// BadMember returns the path of the first member of a JSON text that the database
// cannot hold, such as jwks.keys[0].kid: a text with NUL, with bytes that are not
// UTF-8 or with half a surrogate pair (RFC 8259 §8.2), or a number beyond those of
// IEEE 754 (§6). It does not decide whether the rest is JSON.
func BadMember(body []byte) (path string, found bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var at place
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			return "", false
		}
		raw := body[before:d.InputOffset()]
		switch t := token.(type) {
		case json.Delim:
			if t == '}' || t == ']' {
				at = at[:len(at)-1]
				at.value()
				continue
			}
			at = append(at, frame{object: t == '{', name: true})
			continue
		case string:
			bad := !whole(raw[bytes.IndexByte(raw, '"')+1 : len(raw)-1])
			if at.isName() {
				at.key(t)
				if bad {
					return at.String(), true
				}
				continue
			}
			if bad {
				return at.String(), true
			}
		case json.Number:
			if !moderate(t.String()) {
				return at.String(), true
			}
		}
		at.value()
	}
}

// whole reports whether what stands between the quotes of a JSON string is text.
func whole(raw []byte) bool {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			r, size := utf8.DecodeRune(raw[i:])
			if r == utf8.RuneError && size == 1 {
				return false
			}
			i += size
			continue
		}
		if raw[i+1] != 'u' {
			i += 2
			continue
		}
		switch r := escaped(raw[i:]); {
		case r == 0, r >= 0xdc00 && r <= 0xdfff:
			return false
		case r >= 0xd800 && r < 0xdc00:
			if low := escaped(raw[i+6:]); low < 0xdc00 || low > 0xdfff {
				return false
			}
			i += 6
		}
		i += 6
	}
	return true
}

// escaped reads \uXXXX, -1 for something else.
func escaped(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// moderate reports whether a number has a size and a precision that any reader has.
func moderate(n string) bool {
	const mostDigits, mostExponent = 100, 400
	mantissa, exponent, _ := strings.Cut(strings.ToLower(n), "e")
	e, err := strconv.Atoi(exponent)
	if exponent != "" && (err != nil || e < -mostExponent) {
		return false
	}
	_, err = strconv.ParseFloat(n, 64)
	return err == nil && len(mantissa) <= mostDigits
}

// place is where a reader of JSON is: the objects and arrays around it.
type place []frame

type frame struct {
	object bool
	name   bool // of an object: a member's name comes next
	key    string
	index  int // of an array
}

func (p place) isName() bool { return len(p) > 0 && p[len(p)-1].object && p[len(p)-1].name }

func (p place) key(name string) {
	top := &p[len(p)-1]
	top.key, top.name = name, false
}

// value moves on behind a value.
func (p place) value() {
	if len(p) == 0 {
		return
	}
	top := &p[len(p)-1]
	top.name = true
	top.index++
}

func (p place) String() string {
	var b strings.Builder
	for _, f := range p {
		switch {
		case !f.object:
			b.WriteString("[" + strconv.Itoa(f.index) + "]")
		case b.Len() == 0:
			b.WriteString(f.key)
		default:
			b.WriteString("." + f.key)
		}
		if b.Len() > maxPrintable {
			break
		}
	}
	return Printable(b.String())
}
