package office

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

// show writes the text that a content stream shows (ISO 32000-1 §9.4). Lines are
// told apart by where text is put, words by wide gaps: a guess, as always in PDF.
func (f *pdf) show(b []byte, resources dict, depth int) error {
	l := &lexer{b: b, look: f.look}
	var operands list
	var current *font
	var y float64
	fonts, _ := f.resolve(resources["Font"]).(dict)
	number := func(i int) float64 {
		if i < 0 || i >= len(operands) {
			return 0
		}
		n, _ := operands[i].(float64)
		return n
	}
	say := func(o any) error {
		s, _ := o.(string)
		return f.write(current.decode(s))
	}
	last := func() any {
		if len(operands) == 0 {
			return nil
		}
		return operands[len(operands)-1]
	}
	for {
		o, err := l.object(0)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, errSyntax) {
			operands = nil
			continue
		}
		if err != nil {
			return err
		}
		op, isOperator := o.(keyword)
		if !isOperator {
			if operands = append(operands, o); len(operands) > maxMembers {
				operands = nil
			}
			continue
		}
		err = nil
		switch op {
		case "Tf":
			if n, ok := first(operands).(name); ok {
				if current, err = f.font(fonts[n]); err != nil {
					return err
				}
			}
		case "Td", "TD":
			if number(len(operands)-1) != 0 {
				err = f.line()
			} else {
				err = f.gap()
			}
		case "Tm":
			if at := number(len(operands) - 1); at != y {
				y = at
				err = f.line()
			} else {
				err = f.gap()
			}
		case "T*":
			err = f.line()
		case "Tj":
			err = say(last())
		case "'", "\"":
			if err = f.line(); err == nil {
				err = say(last())
			}
		case "TJ":
			parts, _ := last().(list)
			for _, part := range parts {
				if n, ok := part.(float64); ok && n < -180 {
					err = f.gap()
				} else if !ok {
					err = say(part)
				}
				if err != nil {
					return err
				}
			}
		case "ET":
			err = f.gap()
		case "Do":
			objects, _ := f.resolve(resources["XObject"]).(dict)
			n, _ := first(operands).(name)
			s, ok := f.resolve(objects[n]).(*stream)
			if !ok || depth >= maxForms || f.showing[s] || f.resolve(s.dict["Subtype"]) != name("Form") {
				break
			}
			inner, decodeErr := f.decode(s)
			if decodeErr != nil {
				if !syntax(decodeErr) {
					return decodeErr
				}
				break
			}
			own, ok := f.resolve(s.dict["Resources"]).(dict)
			if !ok {
				own = resources
			}
			f.showing[s] = true
			err = f.show(inner, own, depth+1)
			delete(f.showing, s)
		case "BI": // an image's bytes are no operators
			i := bytes.Index(l.b[l.i:], []byte("EI"))
			if i < 0 {
				return nil
			}
			l.i += i + 2
			err = f.look(i)
		}
		if err != nil {
			return err
		}
		operands = operands[:0]
	}
}

func first(l list) any {
	if len(l) == 0 {
		return nil
	}
	return l[0]
}

// gap puts one space between words.
func (r *reading) gap() error {
	if s := r.out.String(); s == "" || strings.HasSuffix(s, " ") || strings.HasSuffix(s, "\n") {
		return nil
	}
	return r.write(" ")
}

// font says what the codes of a font mean.
type font struct {
	wide    bool              // codes of two bytes
	unicode map[uint32]string // by code, as the file says
	simple  map[byte]string   // differences from the common encoding
	given   int               // codes of ranges so far
}

const maxCodes = 70_000

// font reads a font of a page's resources.
func (f *pdf) font(o any) (*font, error) {
	r, isRef := o.(ref)
	if have := f.fonts[r]; isRef && have != nil {
		return have, nil
	}
	out := &font{unicode: map[uint32]string{}, simple: map[byte]string{}}
	if isRef {
		f.fonts[r] = out
	}
	d, ok := f.resolve(o).(dict)
	if !ok {
		return out, nil
	}
	out.wide = f.resolve(d["Subtype"]) == name("Type0")
	if s, ok := f.resolve(d["ToUnicode"]).(*stream); ok {
		b, err := f.decode(s)
		if err != nil && !syntax(err) {
			return nil, err
		}
		if err := f.codes(b, out); err != nil {
			return nil, err
		}
	}
	encoding, _ := f.resolve(d["Encoding"]).(dict)
	code := 0
	differences, _ := f.resolve(encoding["Differences"]).(list)
	for _, o := range differences {
		switch o := f.resolve(o).(type) {
		case float64:
			code = int(o)
		case name:
			if s := glyph(string(o)); s != "" && code >= 0 && code < 256 {
				out.simple[byte(code)] = s
			}
			code++
		}
	}
	return out, nil
}

// codes reads a ToUnicode map (Adobe Technical Note 5411).
func (f *pdf) codes(b []byte, into *font) error {
	l := &lexer{b: b, look: f.look}
	var operands list
	for {
		o, err := l.object(0)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, errSyntax) {
			continue
		}
		if err != nil {
			return err
		}
		op, isOperator := o.(keyword)
		if !isOperator {
			if operands = append(operands, o); len(operands) > maxMembers {
				return nil
			}
			continue
		}
		switch op {
		case "endcodespacerange":
			if s, ok := first(operands).(string); ok {
				into.wide = len(s) > 1
			}
		case "endbfchar":
			for i := 0; i+1 < len(operands); i += 2 {
				into.set(number(operands[i]), utf16BE(operands[i+1]))
			}
		case "endbfrange":
			for i := 0; i+2 < len(operands); i += 3 {
				from, to := number(operands[i]), number(operands[i+1])
				each, isList := operands[i+2].(list)
				base := []rune(utf16BE(operands[i+2]))
				for c := from; c <= to && c-from < 65_536; c++ {
					if into.given++; into.given > maxCodes { // the same ones, again and again
						return nil
					}
					if isList {
						if int(c-from) < len(each) {
							into.set(c, utf16BE(each[c-from]))
						}
					} else if len(base) > 0 {
						next := append([]rune{}, base...)
						next[len(next)-1] += rune(c - from)
						into.set(c, string(next))
					}
				}
			}
		}
		operands = operands[:0]
	}
}

func (f *font) set(code uint32, s string) {
	if len(f.unicode) < maxCodes && len(s) <= 64 {
		f.unicode[code] = s
	}
}

func number(o any) uint32 {
	s, _ := o.(string)
	n := uint32(0)
	for i := 0; i < len(s) && i < 4; i++ {
		n = n<<8 | uint32(s[i])
	}
	return n
}

func utf16BE(o any) string {
	s, _ := o.(string)
	var out []uint16
	for i := 0; i+1 < len(s) && i < 64; i += 2 {
		out = append(out, uint16(s[i])<<8|uint16(s[i+1]))
	}
	return string(utf16.Decode(out))
}

// decode is the text of a shown string. Codes of composite fonts that the file
// does not explain have none.
func (f *font) decode(s string) string {
	if f == nil {
		f = &font{}
	}
	var b strings.Builder
	if f.wide {
		for i := 0; i+1 < len(s); i += 2 {
			b.WriteString(f.unicode[uint32(s[i])<<8|uint32(s[i+1])])
		}
		return b.String()
	}
	for i := range len(s) {
		if u, ok := f.unicode[uint32(s[i])]; ok {
			b.WriteString(u)
		} else if u, ok := f.simple[s[i]]; ok {
			b.WriteString(u)
		} else if s[i] >= ' ' {
			b.WriteRune(charmap.Windows1252.DecodeByte(s[i]))
		}
	}
	return b.String()
}

var glyphs = map[string]string{
	"space": " ", "period": ".", "comma": ",", "hyphen": "-", "colon": ":", "semicolon": ";", "parenleft": "(", "parenright": ")", "slash": "/", "quotesingle": "'",
	"quotedbl": "\"", "quoteleft": "‘", "quoteright": "’", "quotedblleft": "“", "quotedblright": "”", "endash": "–", "emdash": "—", "bullet": "•", "ellipsis": "…",
	"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "percent": "%", "ampersand": "&",
	"exclam": "!", "question": "?", "at": "@", "plus": "+", "equal": "=", "underscore": "_", "numbersign": "#", "dollar": "$", "asterisk": "*", "Euro": "€",
	"fi": "fi", "fl": "fl", "ff": "ff", "ffi": "ffi", "ffl": "ffl", "adieresis": "ä", "odieresis": "ö", "udieresis": "ü", "Adieresis": "Ä", "Odieresis": "Ö",
	"Udieresis": "Ü", "germandbls": "ß", "eacute": "é", "egrave": "è", "agrave": "à", "ccedilla": "ç", "ecircumflex": "ê", "ntilde": "ñ",
}

// glyph is the text of a glyph's name (Adobe Glyph List, the common ones).
func glyph(s string) string {
	if t, ok := glyphs[s]; ok {
		return t
	}
	if len(s) == 1 {
		return s
	}
	if h, ok := strings.CutPrefix(s, "uni"); ok && len(h) == 4 {
		if n, err := strconv.ParseUint(h, 16, 16); err == nil {
			return string(rune(n))
		}
	}
	return ""
}
