package content

import (
	"strings"
)

// How much is made of a selector.
const (
	read    = iota
	never   // it is about no element that is at rest: the pointer, a part of its text
	notRead // it may be about any element
)

// never at rest, or about a part of an element.
var neverMatching = map[string]bool{
	"hover": true, "active": true, "focus": true, "focus-within": true, "focus-visible": true, "visited": true, "target": true,
	"before": true, "after": true, "first-line": true, "first-letter": true,
}

// parseSelector reads compounds of elements, classes, ids and attributes, and how they
// stand to each other: within, in its parent (">"), next to ("+") or after ("~").
func parseSelector(s string) (selector []compound, weight, kind int) {
	s = strings.TrimSpace(s)
	var c compound
	var ids, classes, names int
	empty := true // c
	for i := 0; i < len(s); {
		if len(c.classes)+len(c.attrs) > maxSimple {
			return nil, 0, notRead
		}
		switch b := s[i]; {
		case b == '.' || b == '#':
			name, next := identifier(s, i+1)
			if name == "" {
				return nil, 0, notRead
			}
			if b == '#' {
				if c.id != "" && c.id != name { // nobody has two
					return nil, 0, never
				}
				c.id, ids = name, ids+1
			} else {
				c.classes, classes = append(c.classes, name), classes+1
			}
			i, empty = next, false
		case b == '*' && empty:
			i, empty = i+1, false
		case b == ':':
			name, _ := identifier(s, i+1)
			if i+1 < len(s) && s[i+1] == ':' || neverMatching[strings.ToLower(name)] {
				return nil, 0, never
			}
			return nil, 0, notRead
		case b == '[':
			end := until(s[i+1:], "]") + i + 1
			if end == len(s) {
				return nil, 0, notRead
			}
			t, ok := parseAttribute(s[i+1 : end])
			if !ok {
				return nil, 0, notRead
			}
			c.attrs, classes = append(c.attrs, t), classes+1
			i, empty = end+1, false
		case strings.IndexByte(combinators, b) >= 0:
			end := i
			for end < len(s) && strings.IndexByte(combinators, s[end]) >= 0 {
				end++
			}
			sign := strings.Trim(s[i:end], whiteSpace)
			if empty || end == len(s) || len(sign) > 1 || len(selector) == maxCompounds-1 {
				return nil, 0, notRead
			}
			c.next = sign
			selector = append(selector, c)
			c, empty, i = compound{}, true, end
		default:
			name, next := identifier(s, i)
			if name == "" || !empty {
				return nil, 0, notRead
			}
			c.name, names = strings.ToLower(name), names+1
			i, empty = next, false
		}
	}
	if empty {
		return nil, 0, notRead
	}
	return append(selector, c), min(ids, 1023)<<20 | min(classes, 1023)<<10 | names, read
}

const (
	whiteSpace  = " \t\r\n\f"
	combinators = ">+~" + whiteSpace
)

// attribute is a condition on an attribute (Selectors 4 §6).
type attribute struct {
	name, sign, value string // sign: "" for any value, or of "=", "~=", "|=", "^=", "$=", "*="
	fold              bool   // without regard to case
}

// folded are the attributes of HTML whose values selectors compare so (HTML §4.16.2).
const folded = " align axis bgcolor charset color dir disabled face lang link media method rel scope shape target text type valign vlink "

func parseAttribute(s string) (t attribute, ok bool) {
	s = strings.Trim(s, whiteSpace)
	name, at := identifier(s, 0)
	if name == "" {
		return t, false
	}
	t.name = strings.ToLower(name)
	t.fold = strings.Contains(folded, " "+t.name+" ")
	if s = strings.TrimLeft(s[at:], whiteSpace); s == "" {
		return t, true
	}
	i := strings.IndexByte(s, '=')
	if i < 0 || i > 1 || i == 1 && strings.IndexByte("~|^$*", s[0]) < 0 {
		return t, false
	}
	t.sign = s[:i+1]
	s = strings.TrimLeft(s[i+1:], whiteSpace)
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		end := quotedEnd(s)
		if end < 2 || s[end-1] != s[0] {
			return t, false
		}
		t.value, s = unescaped(s[1:end-1]), s[end:]
	} else {
		t.value, at = identifier(s, 0)
		if s = s[at:]; t.value == "" {
			return t, false
		}
	}
	switch strings.ToLower(strings.Trim(s, whiteSpace)) {
	case "":
	case "i":
		t.fold = true
	case "s":
		t.fold = false
	default:
		return t, false
	}
	return t, true
}

// is reports whether a value is what the condition says.
func (t attribute) is(value string) bool {
	want := t.value
	if t.fold {
		value, want = strings.ToLower(value), strings.ToLower(want)
	}
	switch t.sign {
	case "":
		return true
	case "=":
		return value == want
	case "|=":
		rest, ok := strings.CutPrefix(value, want)
		return ok && (rest == "" || rest[0] == '-')
	case "~=":
		return hasWord(value, want)
	}
	if want == "" {
		return false
	}
	switch t.sign {
	case "^=":
		return strings.HasPrefix(value, want)
	case "$=":
		return strings.HasSuffix(value, want)
	}
	return strings.Contains(value, want)
}

// hasWord reports whether a list of words has one.
func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

// identifier reads a name from i on, with its escapes resolved.
func identifier(s string, i int) (name string, next int) {
	end := i
	for end < len(s) {
		b := s[end]
		switch {
		case b == '\\' && end+1 < len(s):
			end += escape(s[end:])
			continue
		case b == '-' || b == '_' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80 || b >= '0' && b <= '9' && end > i:
			end++
			continue
		}
		break
	}
	return unescaped(s[i:end]), end
}

// onScreen reports whether a list of media queries holds for a screen that is 1024
// pixels wide: of what else they ask nothing is known, and nothing holds.
func onScreen(queries string) bool {
	const width = 1024
	queries = strings.ToLower(strings.TrimSpace(unescaped(queries)))
	if queries == "" {
		return true
	}
	for query := range strings.SplitSeq(queries, ",") {
		holds := true
		for part := range strings.SplitSeq(strings.TrimPrefix(strings.Join(strings.Fields(query), " "), "only "), " and ") {
			part = strings.TrimSpace(part)
			if part == "screen" || part == "all" {
				continue
			}
			inside, open := strings.CutPrefix(part, "(")
			inside, closed := strings.CutSuffix(inside, ")")
			feature, value, _ := strings.Cut(inside, ":")
			n, unit := length(strings.TrimSpace(value))
			if unit == "em" || unit == "rem" {
				n, unit = n*16, "px"
			}
			known := open && closed && (unit == "px" || unit == "number" && n == 0)
			switch strings.TrimSpace(feature) {
			case "min-width", "min-device-width":
				holds = holds && known && n <= width
			case "max-width", "max-device-width":
				holds = holds && known && n >= width
			default:
				holds = false
			}
		}
		if holds {
			return true
		}
	}
	return false
}

// plainSheet is CSS without comments. Their marks mean nothing in strings and in
// addresses.
func plainSheet(css string) string {
	var b strings.Builder
	for i := 0; i < len(css); {
		end := i + 1
		switch {
		case css[i] == '\\':
			end = min(i+2, len(css))
		case css[i] == '"' || css[i] == '\'':
			end = i + quotedEnd(css[i:])
		case strings.HasPrefix(css[i:], "/*"):
			_, rest, _ := strings.Cut(css[i+2:], "*/")
			i = len(css) - len(rest)
			continue
		case (css[i] == 'u' || css[i] == 'U') && address(css[i:]):
			if at := strings.IndexByte(css[i:], ')'); at >= 0 {
				end = i + at + 1
			} else {
				end = len(css)
			}
		}
		b.WriteString(css[i:end])
		i = end
	}
	return b.String()
}

// address reports whether CSS begins with an address that is no string.
func address(css string) bool {
	rest, ok := cutFold(css[:min(len(css), 100)], "url(")
	rest = strings.TrimLeft(rest, " \t\r\n\f")
	return ok && rest != "" && rest[0] != '"' && rest[0] != '\''
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// quotedEnd is the length of a string that begins here; a line's end ends it.
func quotedEnd(css string) int {
	for i := 1; i < len(css); i++ {
		switch css[i] {
		case '\\':
			i++
		case css[0], '\n':
			return i + 1
		}
	}
	return len(css)
}

// escape is the length of an escape that begins here.
func escape(css string) int {
	end := 1
	for end < len(css) && end < 7 && strings.IndexByte("0123456789abcdefABCDEF", css[end]) >= 0 {
		end++
	}
	switch {
	case end == 1:
		end = 2
	case end < len(css) && strings.IndexByte(" \t\n\f", css[end]) >= 0:
		end++
	}
	return min(end, len(css))
}

// until is where the first of some bytes stands, outside strings and brackets; the
// length if nowhere.
func until(css, stops string) int {
	open := 0
	for i := 0; i < len(css); i++ {
		b := css[i]
		switch {
		case b == '\\':
			i++
		case b == '"' || b == '\'':
			i += quotedEnd(css[i:]) - 1
		case b == '(' || b == '[':
			open++
		case (b == ')' || b == ']') && open > 0:
			open--
		case open == 0 && strings.IndexByte(stops, b) >= 0:
			return i
		}
	}
	return len(css)
}

// block is what comes before the brace that closes, and what after it.
func block(css string) (inside, after string) {
	for at, open := 0, 1; ; at++ {
		at += until(css[at:], "{}")
		if at >= len(css) {
			return css, ""
		}
		if css[at] == '{' {
			open++
		} else if open--; open == 0 {
			return css[:at], css[at+1:]
		}
	}
}
