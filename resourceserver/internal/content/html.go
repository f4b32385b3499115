package content

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	maxHTML = 2 << 20
	maxLink = 200
)

// HTML renders HTML as text: blocks on lines of their own, link targets in
// parentheses, quotations with ">", nothing of what a reader would not see. Input
// beyond 2 MiB is ignored. hidden reports whether text was left out because a
// reader would not see it.
func HTML(s string) (text string, hidden bool) {
	if len(s) > maxHTML {
		s = s[:maxHTML]
	}
	w := &writer{}
	var root *html.Node
	if tame(s) {
		root, _ = html.Parse(strings.NewReader(s)) // bounds the nesting
	}
	if root == nil {
		w.sheets = readFlat(s)
		w.flat(s)
	} else {
		w.sheets = readSheets(root)
		w.node(root, false, page(w.sheets.unread))
	}
	return w.String(), w.hidden
}

// maxRoots bounds the tags that begin a document: mails hold others, but few.
const maxRoots = 100

// tame reports whether HTML can be parsed in a time that is no more than its length: for
// each of these tags the parser goes through all attributes of those before.
func tame(s string) bool {
	n := 0
	for i := range len(s) - 5 {
		if s[i] == '<' && (strings.EqualFold(s[i+1:i+5], "html") || strings.EqualFold(s[i+1:i+5], "body")) {
			n++
		}
	}
	return n <= maxRoots
}

// flat writes HTML that is nested too deeply to parse, or that takes too long. What is unseen ends where
// every element within it was closed in its turn: tags that do not match hide the
// rest, since a browser may well ignore the end tag that seems to end the hiding.
func (w *writer) flat(s string) {
	z := html.NewTokenizer(strings.NewReader(s))
	var open []string // the unseen element and those open within it
	telling := false  // text left out is told of
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return
		}
		t := z.Token()
		concealed := func() bool { // by itself or by what it is in
			n := &html.Node{Type: html.ElementNode, Data: t.Data, DataAtom: t.DataAtom, Attr: t.Attr}
			return concealed(n, w.sheets.declared(n), true)
		}
		switch kind {
		case html.TextToken:
			if len(open) == 0 {
				w.text(t.Data)
			} else {
				w.hidden = w.hidden || (telling && strings.TrimSpace(Clean(t.Data)) != "")
			}
			continue
		case html.CommentToken:
			if strings.HasPrefix(t.Data, "[CDATA[") { // within SVG it ends elsewhere
				w.hidden = true
				return
			}
		case html.StartTagToken, html.SelfClosingTagToken: // a slash closes no HTML element
			switch {
			case void(t.DataAtom), t.DataAtom == atom.Head: // text ends a head
			case len(open) > 0:
				open = append(open, t.Data)
				telling = telling || concealed()
			case unread(t.DataAtom) || concealed():
				open, telling = []string{t.Data}, !raw(t.DataAtom) || concealed()
			}
		case html.EndTagToken:
			if n := len(open); n > 0 && open[n-1] == t.Data {
				open = open[:n-1]
			}
		}
		w.space()
	}
}

// raw reports whether an unseen element holds no elements.
func raw(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Style, atom.Title, atom.Noscript, atom.Iframe, atom.Textarea:
		return true
	}
	return false
}

// void reports whether an element has no content and no end tag (HTML §13.1.2).
func void(a atom.Atom) bool {
	switch a {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}

// writer collects text with collapsed white space.
type writer struct {
	sheets   *sheets
	b        strings.Builder
	newlines int  // pending
	blank    bool // pending space
	hidden   bool // text was left out
	quoted   int  // depth of quotations
}

func (w *writer) String() string { return strings.TrimSpace(Clean(w.b.String())) }

func (w *writer) space() { w.blank = true }

func (w *writer) line(n int) { w.newlines = max(w.newlines, n) }

func (w *writer) flush() {
	switch {
	case w.b.Len() == 0:
	case w.newlines > 0:
		w.b.WriteString(strings.Repeat("\n", w.newlines))
	case w.blank:
		w.b.WriteByte(' ')
	}
	w.newlines, w.blank = 0, false
}

func (w *writer) text(s string) {
	for i, f := range strings.Fields(s) {
		if i > 0 || startsWithSpace(s) {
			w.space()
		}
		w.flush()
		w.b.WriteString(f)
	}
	if s != "" && startsWithSpace(s[len(s)-1:]) {
		w.space()
	}
}

func startsWithSpace(s string) bool { return s != "" && strings.ContainsRune(" \t\r\n\f", rune(s[0])) }

func (w *writer) node(n *html.Node, pre bool, seen look) {
	switch n.Type {
	case html.TextNode:
		if seen.invisible() {
			w.hidden = w.hidden || says(n)
			return
		}
		if pre {
			w.flush()
			w.b.WriteString(n.Data)
		} else {
			w.text(n.Data)
		}
		return
	case html.ElementNode:
		set := w.sheets.declared(n)
		if silent := unread(n.DataAtom); silent || concealed(n, set, false) {
			w.hidden = w.hidden || (!silent || concealed(n, set, true)) && says(n)
			return
		}
		seen.sheet = seen.sheet || w.sheets.steps <= 0
		seen = seen.within(n, set)
		if quotation(n) && w.quoted < maxQuoted {
			w.quotation(n, pre, seen)
			return
		}
	}
	before, after := breaks(n)
	w.line(before)
	if n.DataAtom == atom.Li {
		w.flush()
		w.b.WriteString("- ")
	}
	start := w.b.Len()
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		w.node(c, pre || n.DataAtom == atom.Pre, seen)
	}
	if n.DataAtom == atom.A {
		w.link(n, w.b.String()[min(start, w.b.Len()):])
	}
	if n.DataAtom == atom.Td || n.DataAtom == atom.Th {
		w.space()
	}
	w.line(after)
}

// maxQuoted bounds the depth of quotations that is shown.
const maxQuoted = 5

// quotation writes an element with ">" before each line (RFC 3676 §4.5).
func (w *writer) quotation(n *html.Node, pre bool, seen look) {
	inner := &writer{sheets: w.sheets, quoted: w.quoted + 1}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		inner.node(c, pre, seen)
	}
	w.hidden = w.hidden || inner.hidden
	text := inner.String()
	if text == "" {
		return
	}
	w.line(1)
	w.flush()
	w.b.WriteString("> " + strings.ReplaceAll(text, "\n", "\n> "))
	w.line(1)
}

// quotation reports whether an element holds what an earlier mail said: the
// marks of the usual mail programs.
func quotation(n *html.Node) bool {
	if n.DataAtom == atom.Blockquote {
		return true
	}
	for _, class := range strings.Fields(attr(n, "class")) {
		switch class {
		case "gmail_quote", "gmail_quote_container", "yahoo_quoted", "protonmail_quote":
			return true
		}
	}
	return false
}

// says reports whether there is text below an element.
func says(n *html.Node) bool {
	if n.Type == html.TextNode {
		return strings.TrimSpace(Clean(n.Data)) != ""
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if says(c) {
			return true
		}
	}
	return false
}

// link adds a target that the link's text does not show: a reader can look at
// it, so a model may as well.
func (w *writer) link(n *html.Node, shown string) {
	href := strings.TrimSpace(attr(n, "href"))
	lower := strings.ToLower(href)
	shown = strings.TrimSpace(shown)
	if shown == "" || !(strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")) || strings.Contains(shown, href) {
		return
	}
	if len(href) > maxLink {
		href = strings.ToValidUTF8(href[:maxLink], "") + "…"
	}
	w.b.WriteString(" (" + strings.Join(strings.Fields(href), "") + ")")
}

// unread reports whether nobody reads what is in an element of that name.
func unread(name atom.Atom) bool {
	switch name {
	case atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Noscript, atom.Object, atom.Iframe, atom.Svg, atom.Select, atom.Textarea:
		return true
	}
	return false
}

// concealed reports whether an element for which set holds is hidden on purpose,
// with all that is inside; inherited as for hides.
func concealed(n *html.Node, set []declaration, inherited bool) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "hidden" }) || hides(set, inherited)
}

// uncommented is CSS without its comments; one that does not end goes to the end.
func uncommented(css string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(css, "/*")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, css, _ = strings.Cut(rest, "*/")
	}
}

// breaks returns how many line ends an element has before and after it.
func breaks(n *html.Node) (before, after int) {
	switch n.DataAtom {
	case atom.Br:
		return 0, 1
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Table, atom.Blockquote, atom.Pre, atom.Hr:
		return 2, 2
	case atom.Div, atom.Li, atom.Tr, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Dt, atom.Dd, atom.Center, atom.Form:
		return 1, 1
	}
	return 0, 0
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
