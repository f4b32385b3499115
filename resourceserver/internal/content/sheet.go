package content

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	maxSheets    = 256 << 10 // bytes of all sheets of a mail
	maxRules     = 4_000     // selectors of all sheets
	maxSelectors = 100       // of one rule
	maxCompounds = 8         // of one selector
	maxSimple    = 20        // classes and attributes of one compound
	maxDepth     = 4         // of blocks within blocks
	maxSteps     = 1_000_000 // of matching, for a mail
)

// sheets are the style sheets of a mail as far as they are read: rules for elements,
// classes, ids and attributes, also within or after others, as a reader's program on a
// screen takes them (CSS Syntax 3, Selectors 4 §3, CSS Cascade 4 §6). Other selectors
// (pseudo-classes) are not read, nor is what lies beyond a limit: what only they hide is
// shown.
type sheets struct {
	rules map[string][]*rule // by the most special of the subject: "#id", ".class", "element", "*"
	count int
	steps int // of matching that are left
	// unread says that colours may come from where nothing is read.
	unread bool
	// loose matches by the element alone, for where elements are not known as a tree.
	loose bool
}

// rule is a selector with its declarations.
type rule struct {
	selector []compound // the subject is the last
	weight   int        // specificity
	order    int
	set      []declaration
}

// compound is what a selector says of one element.
type compound struct {
	name, id string // "" is any
	classes  []string
	attrs    []attribute
	next     string // what the next one is to it: "" within, ">" its child, "+" next to it, "~" after it
}

// readSheets reads the sheets of a document.
func readSheets(root *html.Node) *sheets {
	s := &sheets{rules: map[string][]*rule{}, steps: maxSteps}
	left := maxSheets
	for n := range root.Descendants() {
		if n.DataAtom != atom.Style || n.FirstChild == nil {
			if n.DataAtom == atom.Link {
				s.unread = true
			}
			continue
		}
		s.add(n.FirstChild.Data, n.Attr, &left)
	}
	return s
}

// readFlat reads the sheets of HTML that is nested too deeply to parse. What a rule
// asks of elements around its subject counts as given.
func readFlat(text string) *sheets {
	s := &sheets{rules: map[string][]*rule{}, steps: maxSteps, loose: true}
	left := maxSheets
	z := html.NewTokenizer(strings.NewReader(text))
	var style *html.Token
	for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
		t := z.Token()
		if kind == html.TextToken && style != nil {
			s.add(t.Data, style.Attr, &left)
		}
		if style = nil; kind == html.StartTagToken && t.DataAtom == atom.Style {
			style = &t
		}
	}
	return s
}

// add reads the text of a style element.
func (s *sheets) add(css string, attrs []html.Attribute, left *int) {
	for _, a := range attrs {
		switch {
		case a.Key == "type" && a.Val != "" && !strings.EqualFold(strings.TrimSpace(a.Val), "text/css"),
			a.Key == "media" && !onScreen(a.Val):
			return
		}
	}
	if len(css) > *left {
		css, s.unread = css[:*left], true
	}
	*left -= len(css)
	s.parse(plainSheet(css), 0)
}

// parse reads rules. What is not closed is closed by the end (CSS Syntax 3 §5).
func (s *sheets) parse(css string, depth int) {
	for {
		css = strings.TrimLeft(css, " \t\r\n\f")
		if before := len(css); before == 0 {
			return
		} else if css = strings.TrimPrefix(strings.TrimPrefix(css, "<!--"), "-->"); len(css) < before {
			continue
		}
		stops := "{"
		if css[0] == '@' {
			stops = "{;"
		}
		i := until(css, stops)
		prelude := css[:i]
		if i == len(css) || css[i] == ';' {
			s.unread = s.unread || strings.HasPrefix(prelude, "@")
			css = css[min(i+1, len(css)):]
			continue
		}
		body, rest := block(css[i+1:])
		css = rest
		if query, ok := cutFold(prelude, "@media"); ok {
			if depth < maxDepth && onScreen(query) {
				s.parse(body, depth+1)
			}
		} else if !strings.HasPrefix(prelude, "@") {
			s.rule(prelude, body)
		}
	}
}

// rule reads the selectors and the declarations of one rule.
func (s *sheets) rule(prelude, body string) {
	set := setBy(body)
	if len(set) == 0 || strings.Contains(strings.ReplaceAll(prelude, ":-webkit-", ""), ":-") { // another browser's: no other takes the rule
		return
	}
	coloured := slices.ContainsFunc(set, func(d declaration) bool {
		return strings.HasPrefix(d.property, "background") || strings.Contains(d.property, "color")
	})
	for n := 0; ; n++ {
		i := until(prelude, ",")
		selector, weight, kind := parseSelector(prelude[:i])
		if n >= maxSelectors || s.count >= maxRules {
			kind = notRead
		}
		switch kind {
		case read:
			s.count++
			key := selector[len(selector)-1].key()
			s.rules[key] = append(s.rules[key], &rule{selector, weight, s.count, set})
		case notRead:
			s.unread = s.unread || coloured
		}
		if i == len(prelude) || n >= maxSelectors {
			return
		}
		prelude = prelude[i+1:]
	}
}

// key is under which rules about an element stand.
func (c compound) key() string {
	switch {
	case c.id != "":
		return "#" + c.id
	case len(c.classes) > 0:
		return "." + c.classes[0]
	case c.name != "":
		return c.name
	}
	return "*"
}

// declared are the declarations that hold for an element: its style and what the
// sheets say, without what is overridden by another one. Of declarations in its
// style each counts, whichever way it is read.
func (s *sheets) declared(n *html.Node) []declaration {
	style := attr(n, "style")
	own := slices.Collect(declarations(style))
	if len(s.rules) == 0 || s.steps <= 0 {
		return own
	}
	id, classes := attr(n, "id"), strings.Fields(attr(n, "class"))
	var found []*rule
	look := func(key string) {
		for _, r := range s.rules[key] {
			if s.steps > 0 && s.matches(n, r.selector) {
				found = append(found, r)
			}
		}
	}
	look("*")
	look(n.Data)
	if id != "" {
		look("#" + id)
	}
	slices.Sort(classes)
	for _, c := range slices.Compact(classes) {
		look("." + c)
	}
	if len(found) == 0 {
		return own
	}
	return cascade(found, own, setBy(plainSheet(style)))
}

// matches reports whether a selector is about an element.
func (s *sheets) matches(n *html.Node, selector []compound) bool {
	last := len(selector) - 1
	if s.steps--; s.steps < 0 || !s.is(n, selector[last]) {
		return false
	}
	if last == 0 || s.loose {
		return true
	}
	rest := selector[:last]
	switch next := rest[last-1].next; next {
	case "+", "~":
		for before := n.PrevSibling; before != nil && s.steps > 0; before = before.PrevSibling {
			if before.Type != html.ElementNode {
				s.steps--
				continue
			}
			if s.matches(before, rest) {
				return true
			}
			if next == "+" {
				return false
			}
		}
	default:
		for up := n.Parent; up != nil && s.steps > 0; up = up.Parent {
			if s.matches(up, rest) {
				return true
			}
			if next == ">" {
				return false
			}
		}
	}
	return false
}

// perStep is how many attributes, and how many bytes of their values times ten, cost
// as much as a step. Whoever writes a mail makes them as many and long as they like.
const perStep = 8

// is reports whether an element is what a compound says.
func (s *sheets) is(n *html.Node, c compound) bool {
	if n.Type != html.ElementNode || c.name != "" && c.name != n.Data {
		return false
	}
	value := func(key string) (string, bool) {
		s.steps -= len(n.Attr) / perStep
		for _, a := range n.Attr {
			if a.Key == key {
				s.steps -= len(a.Val) / (10 * perStep)
				return a.Val, true
			}
		}
		return "", false
	}
	if c.id != "" {
		if id, _ := value("id"); id != c.id {
			return false
		}
	}
	for _, class := range c.classes {
		if list, _ := value("class"); !hasWord(list, class) {
			return false
		}
	}
	for _, t := range c.attrs {
		if v, there := value(t.name); !there || !t.is(v) {
			return false
		}
	}
	return true
}

// cascade is what rules and an element's own style come to: important ones first,
// then the element's own, then the more special rule, then the later. own is the
// element's style in every reading, strict in that of CSS, which alone overrides.
func cascade(found []*rule, own, strict []declaration) []declaration {
	slices.SortFunc(found, func(a, b *rule) int {
		if a.weight != b.weight {
			return a.weight - b.weight
		}
		return a.order - b.order
	})
	won := map[string]declaration{}
	var order []string // a map has none
	for _, r := range found {
		for _, d := range r.set {
			k := d.cascaded()
			before, known := won[k]
			if known && before.important && !d.important {
				continue
			}
			if !known {
				order = append(order, k)
			}
			won[k] = d
		}
	}
	for _, d := range strict {
		if w, ok := won[d.cascaded()]; ok && (d.important || !w.important) {
			delete(won, d.cascaded())
		}
	}
	var out []declaration
	for _, k := range order {
		if d, ok := won[k]; ok {
			out = append(out, d)
		}
	}
	for _, d := range own {
		if _, overridden := won[d.cascaded()]; !overridden {
			out = append(out, d)
		}
	}
	return out
}
