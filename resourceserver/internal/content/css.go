package content

import (
	"iter"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// look is what is known of how text is shown. A colour that is nil is unknown.
type look struct {
	text, ground *colour
	sheet        bool // colours may come from a style sheet that is not read
	tiny, veiled bool // by font-size and visibility, which an element inside may change back
}

type colour struct{ r, g, b, a int } // 0 to 255

// page is how a mail begins: black on white, but for the text's colour where a
// style sheet that is not read may say another one.
func page(sheet bool) look {
	l := look{ground: &colour{255, 255, 255, 255}, sheet: sheet}
	if !sheet {
		l.text = &colour{0, 0, 0, 255}
	}
	return l
}

// invisible reports whether text cannot be seen, or told from its background.
func (l look) invisible() bool {
	switch {
	case l.tiny || l.veiled:
		return true
	case l.text == nil:
		return false
	case l.text.a <= 12: // of 255: one in twenty
		return true
	case l.ground == nil:
		return false
	}
	near := func(a, b int) bool { return max(a-b, b-a) <= 16 }
	return near(l.text.r, l.ground.r) && near(l.text.g, l.ground.g) && near(l.text.b, l.ground.b)
}

// within is the look inside an element, for which set holds. What a style sheet that
// is not read or a picture may change is unknown from there on.
func (l look) within(n *html.Node, set []declaration) look {
	if l.sheet {
		for _, a := range n.Attr {
			if a.Key == "class" || a.Key == "id" {
				l.text, l.ground = nil, nil
			}
		}
	}
	ground := func(value string) {
		if c, ok := parseColour(value); !ok {
			l.ground = nil
		} else if c.a > 250 {
			l.ground = &c
		} else if c.a > 0 {
			l.ground = nil
		}
	}
	for _, a := range n.Attr {
		switch a.Key {
		case "href":
			if n.DataAtom == atom.A { // the reader's program has a colour for links
				l.text = nil
			}
		case "text":
			if c, ok := parseColour(attrColour(a.Val)); ok && n.DataAtom == atom.Body {
				l.text = &c
			}
		case "bgcolor":
			ground(attrColour(a.Val))
		case "background":
			l.ground = nil
		case "color":
			if n.DataAtom == atom.Font {
				if c, ok := parseColour(attrColour(a.Val)); ok {
					l.text = &c
				}
			}
		}
	}
	var tiny, sized, veiled, shown bool
	for _, d := range set {
		switch property, value := d.property, d.value; property {
		case "font-size", "font":
			hidden := conceals(property, value)
			tiny, sized = tiny || hidden, sized || !hidden && absolute(property, value)
		case "visibility":
			hidden := conceals(property, value)
			veiled, shown = veiled || hidden, shown || !hidden && value == "visible"
		case "color", "-webkit-text-fill-color":
			l.text = nil
			if c, ok := parseColour(value); ok {
				l.text = &c
			}
		case "background-color", "background":
			ground(value)
		case "background-image":
			if value != "none" {
				l.ground = nil
			}
		}
	}
	// A declaration that a later one undoes counts.
	l.tiny, l.veiled = tiny || l.tiny && !sized, veiled || l.veiled && !shown
	return l
}

// absolute reports whether a font size is none of the size around it.
func absolute(property, value string) bool {
	for f := range strings.FieldsSeq(value) {
		size, _, _ := strings.Cut(f, "/")
		switch n, unit := length(size); unit {
		case "px", "pt", "rem", "cm", "mm", "in", "pc", "vw", "vh":
			return n > 0
		}
		switch size {
		case "xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "initial":
			return true
		}
		if property == "font-size" {
			return false
		}
	}
	return false
}

// attrColour is the colour of an old attribute, which needs no "#".
func attrColour(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if _, err := strconv.ParseUint(s, 16, 32); err == nil && (len(s) == 6 || len(s) == 3) {
		return "#" + s
	}
	return s
}

// named are the colours of CSS 2 and what hides beside them.
var named = map[string]colour{
	"white": {255, 255, 255, 255}, "black": {0, 0, 0, 255}, "silver": {192, 192, 192, 255}, "gray": {128, 128, 128, 255}, "grey": {128, 128, 128, 255},
	"red": {255, 0, 0, 255}, "maroon": {128, 0, 0, 255}, "yellow": {255, 255, 0, 255}, "olive": {128, 128, 0, 255}, "lime": {0, 255, 0, 255}, "green": {0, 128, 0, 255},
	"aqua": {0, 255, 255, 255}, "teal": {0, 128, 128, 255}, "blue": {0, 0, 255, 255}, "navy": {0, 0, 128, 255}, "fuchsia": {255, 0, 255, 255}, "purple": {128, 0, 128, 255},
	"snow": {255, 250, 250, 255}, "ivory": {255, 255, 240, 255}, "whitesmoke": {245, 245, 245, 255}, "ghostwhite": {248, 248, 255, 255},
	"floralwhite": {255, 250, 240, 255}, "mintcream": {245, 255, 250, 255}, "azure": {240, 255, 255, 255}, "aliceblue": {240, 248, 255, 255}, "seashell": {255, 245, 238, 255}, "honeydew": {240, 255, 240, 255},
	"transparent": {},
}

// parseColour reads a colour in lower case: a name, #rgb to #rrggbbaa, rgb() and
// rgba(), and of hsl() white and black.
func parseColour(s string) (colour, bool) {
	if c, ok := named[s]; ok {
		return c, true
	}
	if digits, ok := strings.CutPrefix(s, "#"); ok {
		if n := len(digits); n == 3 || n == 4 {
			var wide strings.Builder
			for _, r := range digits {
				wide.WriteString(string(r) + string(r))
			}
			digits = wide.String()
		}
		if len(digits) == 6 {
			digits += "ff"
		}
		v, err := strconv.ParseUint(digits, 16, 32)
		return colour{int(v >> 24), int(v >> 16 & 255), int(v >> 8 & 255), int(v & 255)}, err == nil && len(digits) == 8
	}
	name, rest, ok := strings.Cut(s, "(")
	rest, end := strings.CutSuffix(rest, ")")
	parts := strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == '/' || unicode.IsSpace(r) })
	if !ok || !end || len(parts) != 3 && len(parts) != 4 {
		return colour{}, false
	}
	switch name {
	case "rgb", "rgba":
	case "hsl", "hsla":
		if light, unit := length(parts[2]); len(parts) == 3 && unit == "%" && (light >= 97 || light <= 3) {
			v := int(min(max(light, 0), 100)*2.55 + 0.5)
			return colour{v, v, v, 255}, true
		}
		return colour{}, false
	default:
		return colour{}, false
	}
	values := [4]int{3: 255}
	for i, p := range parts {
		number, percent := strings.CutSuffix(p, "%")
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || f < 0 || f > 1000 {
			return colour{}, false
		}
		switch {
		case percent:
			f *= 2.55
		case i == 3:
			f *= 255
		}
		values[i] = min(int(f+0.5), 255)
	}
	return colour{values[0], values[1], values[2], values[3]}, true
}

// declarations yields those of a style. A comment's mark may stand in a string, so
// both readings are given.
func declarations(style string) iter.Seq[declaration] {
	return func(yield func(declaration) bool) {
		if style == "" {
			return
		}
		for _, reading := range []string{style, uncommented(style)} {
			for one := range strings.SplitSeq(reading, ";") {
				property, value, found := strings.Cut(uncommented(one), ":")
				value, mark, _ := strings.Cut(value, "!")
				if found && !yield(declaration{plainCSS(property), plainCSS(value), plainCSS(mark) == "important"}) {
					return
				}
			}
		}
	}
}

func plainCSS(s string) string { return strings.ToLower(strings.TrimSpace(unescaped(s))) }

// unescaped resolves CSS escapes (CSS Syntax 3 §4.3.7): up to six hexadecimal digits
// and one white space, or any other character as it is.
func unescaped(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		end := i + 1
		for end < len(s) && end < i+7 && strings.IndexByte("0123456789abcdefABCDEF", s[end]) >= 0 {
			end++
		}
		if end == i+1 { // not hexadecimal: the next character stands for itself
			i++
			if i < len(s) {
				b.WriteByte(s[i])
				i++
			}
			continue
		}
		n, _ := strconv.ParseUint(s[i+1:end], 16, 32)
		if n == 0 || n > utf8.MaxRune {
			n = utf8.RuneError
		}
		b.WriteRune(rune(n))
		if i = end; i < len(s) && strings.IndexByte(" \t\n\f", s[i]) >= 0 {
			i++
		}
	}
	return b.String()
}

// hides reports whether declarations take their element out of sight, with all that
// is inside; with inherited, also what an element inside could change back. A
// declaration that a later one undoes counts too.
func hides(set []declaration, inherited bool) bool {
	clipped, empty, moved, away := false, false, false, false
	for _, d := range set {
		property, value := d.property, d.value
		switch property {
		case "font", "font-size", "visibility":
			if inherited && conceals(property, value) {
				return true
			}
			continue
		}
		if conceals(property, value) {
			return true
		}
		switch property {
		case "overflow", "overflow-x", "overflow-y":
			clipped = clipped || value == "hidden" || value == "clip"
		case "height", "width":
			n, unit := length(value)
			empty = empty || unit != "" && n <= 1 && unit != "%" && unit != "em" && unit != "rem" || unit != "" && n <= 0
		case "position":
			moved = moved || value == "absolute" || value == "fixed" || value == "relative"
		case "left", "top", "right", "bottom":
			n, unit := length(value)
			away = away || unit == "px" && n <= -500 || unit != "px" && unit != "" && n <= -50
		}
	}
	return clipped && empty || moved && away
}

// conceals reports whether one declaration hides its element.
func conceals(property, value string) bool {
	n, unit := length(value)
	switch property {
	case "display":
		return value == "none"
	case "visibility":
		return value == "hidden" || value == "collapse"
	case "font-size":
		return unit != "" && (n <= 0 || n <= 1 && (unit == "px" || unit == "pt") || n <= 5 && unit == "%" || n <= 0.05)
	case "font": // the size stands in it, before a family and perhaps with a line height
		for f := range strings.FieldsSeq(value) {
			size, _, _ := strings.Cut(f, "/")
			switch n, unit := length(size); unit {
			case "px", "pt":
				if n <= 1 {
					return true
				}
			case "em", "rem":
				if n <= 0.05 {
					return true
				}
			}
		}
	case "opacity":
		return unit == "%" && n <= 5 || unit == "number" && n <= 0.05
	case "zoom":
		return unit != "" && n <= 0.05
	case "filter":
		return strings.HasPrefix(value, "opacity(0)") || strings.HasPrefix(value, "opacity(0%)")
	case "max-height", "max-width":
		return unit != "" && n <= 0
	case "text-indent", "margin-left", "margin-top":
		return unit == "px" && n <= -500 || unit != "px" && unit != "" && n <= -50
	case "clip":
		return strings.HasPrefix(value, "rect(") && strings.Trim(value, "rect() ,01px") == ""
	case "clip-path":
		return strings.HasPrefix(value, "inset(50%") || strings.HasPrefix(value, "inset(100%") || strings.HasPrefix(value, "circle(0")
	case "transform":
		if inside, ok := strings.CutPrefix(value, "translate"); ok {
			inside = strings.TrimLeft(inside, "xy(")
			moved, unit := length(inside[:strings.IndexFunc(inside+")", func(r rune) bool { return r == ')' || r == ',' })])
			return unit == "px" && moved <= -500 || unit != "px" && unit != "" && moved <= -50 && unit != "%"
		}
		return strings.HasPrefix(value, "scale(0)") || strings.HasPrefix(value, "scale(0,")
	}
	return false
}

// length reads a number and its unit, "number" if it has none; the unit is "" if it
// is no number.
func length(value string) (n float64, unit string) {
	if inside, ok := strings.CutPrefix(value, "calc("); ok {
		value = strings.TrimSpace(strings.TrimSuffix(inside, ")"))
	}
	number := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyz%")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, ""
	}
	if unit = value[len(number):]; unit == "" {
		unit = "number"
	}
	return n, unit
}
