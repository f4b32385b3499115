package fakegoogle

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// doc is a Google document: tabs of paragraphs and tables. Positions are UTF-16
// code units, as in the Docs API ("Structure of a Google Docs document"): a body
// begins at 1, a table, each of its rows and each of its cells take one, and a
// table one more at its end.
type doc struct {
	tabs     []*docTab
	lists    map[string]string // preset by id
	notes    map[string][]docElement
	revision int
}

type docTab struct {
	id, title string
	body      []docElement
}

type docElement struct {
	para  *para
	table [][]*docCell
}

type docCell struct{ body []docElement }

// para is a paragraph; its last unit is its line end.
type para struct {
	units []unit
	look  paraLook
	list  string
	level int
}

type paraLook struct {
	named                string
	indent, left, bottom float64
	shaded               bool
}

type unit struct {
	c    uint16
	look textLook
	note string // id of the footnote that it refers to
}

type textLook struct {
	bold, italic, strike, underline bool
	font, link                      string
}

func newDoc(text string) *doc {
	d := &doc{lists: map[string]string{}, notes: map[string][]docElement{}, revision: 1, tabs: []*docTab{{id: "t.0", title: "Tab 1"}}}
	d.tabs[0].body = paragraphs(text)
	return d
}

func paragraphs(text string) []docElement {
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	var out []docElement
	for _, line := range strings.SplitAfter(text, "\n") {
		if line != "" {
			out = append(out, docElement{para: &para{units: units(line, textLook{}), look: paraLook{named: "NORMAL_TEXT"}}})
		}
	}
	return out
}

func units(s string, look textLook) []unit {
	var out []unit
	for _, c := range utf16.Encode([]rune(s)) {
		out = append(out, unit{c: c, look: look})
	}
	return out
}

func (p *para) text() string {
	var c []uint16
	for _, u := range p.units {
		c = append(c, u.c)
	}
	return string(utf16.Decode(c))
}

func (d *doc) text() string {
	var b strings.Builder
	for _, t := range d.tabs {
		each(t.body, func(p *para) { b.WriteString(p.text()) })
	}
	return b.String()
}

// clone is a copy of its own.
func (d *doc) clone() *doc {
	out := &doc{lists: map[string]string{}, notes: map[string][]docElement{}, revision: 1}
	for _, t := range d.tabs {
		out.tabs = append(out.tabs, &docTab{t.id, t.title, cloneElements(t.body)})
	}
	for k, v := range d.lists {
		out.lists[k] = v
	}
	for k, v := range d.notes {
		out.notes[k] = cloneElements(v)
	}
	return out
}

func cloneElements(in []docElement) []docElement {
	var out []docElement
	for _, e := range in {
		if e.para != nil {
			p := *e.para
			p.units = slices.Clone(p.units)
			out = append(out, docElement{para: &p})
			continue
		}
		var rows [][]*docCell
		for _, row := range e.table {
			var cells []*docCell
			for _, c := range row {
				cells = append(cells, &docCell{cloneElements(c.body)})
			}
			rows = append(rows, cells)
		}
		out = append(out, docElement{table: rows})
	}
	return out
}

// each visits the paragraphs in their order.
func each(body []docElement, visit func(*para)) {
	for _, e := range body {
		if e.para != nil {
			visit(e.para)
		}
		for _, row := range e.table {
			for _, c := range row {
				each(c.body, visit)
			}
		}
	}
}

func size(body []docElement) int {
	n := 0
	for _, e := range body {
		n += e.size()
	}
	return n
}

func (e docElement) size() int {
	if e.para != nil {
		return len(e.para.units)
	}
	n := 2
	for _, row := range e.table {
		n++
		for _, c := range row {
			n += 1 + size(c.body)
		}
	}
	return n
}

// place is a position in a paragraph of a body.
type place struct {
	body   *[]docElement
	at     int // of the paragraph in it
	offset int
}

// find returns the place of an index; there is none outside of paragraphs.
func find(body *[]docElement, start, index int) (place, bool) {
	for i, e := range *body {
		end := start + e.size()
		if index < start {
			return place{}, false
		}
		if index < end {
			if e.para != nil {
				return place{body, i, index - start}, true
			}
			at := start + 1
			for _, row := range e.table {
				at++
				for _, c := range row {
					at++
					if next := at + size(c.body); index < next {
						return find(&c.body, at, index)
					} else {
						at = next
					}
				}
			}
			return place{}, false
		}
		start = end
	}
	return place{}, false
}

// within visits the paragraphs that a range touches, with their first index.
func within(body []docElement, start, from, to int, visit func(p *para, start int)) {
	for _, e := range body {
		if e.para != nil {
			if start < to && start+len(e.para.units) > from {
				visit(e.para, start)
			}
		} else {
			at := start + 1
			for _, row := range e.table {
				at++
				for _, c := range row {
					at++
					within(c.body, at, from, to, visit)
					at += size(c.body)
				}
			}
		}
		start += e.size()
	}
}

func (d *doc) tab(id string) (*docTab, error) {
	if id == "" {
		return d.tabs[0], nil
	}
	for _, t := range d.tabs {
		if t.id == id {
			return t, nil
		}
	}
	return nil, badRequest("Invalid tab ID: " + id)
}

// insert puts text at an index. New paragraphs look like the one that is split,
// new text like the text before it.
func (t *docTab) insert(index int, text string) error {
	text = strings.Map(func(r rune) rune {
		if r <= 8 || r >= 0xc && r <= 0x1f || r >= 0xe000 && r <= 0xf8ff {
			return -1 // Docs API, InsertTextRequest.text
		}
		return r
	}, text)
	at, ok := find(&t.body, 1, index)
	if !ok {
		return badRequest(fmt.Sprintf("Invalid requests[0].insertText: Index %d must be less than the end index of the referenced segment, and inside the bounds of an existing paragraph.", index))
	}
	p := (*at.body)[at.at].para
	look := p.units[max(at.offset-1, 0)].look
	all := slices.Concat(p.units[:at.offset], units(text, look), p.units[at.offset:])
	var split []docElement
	for start, i := 0, 0; i < len(all); i++ {
		if all[i].c == '\n' {
			part := *p
			part.units = slices.Clone(all[start : i+1])
			split, start = append(split, docElement{para: &part}), i+1
		}
	}
	*at.body = slices.Replace(*at.body, at.at, at.at+1, split...)
	return nil
}

// insertTable puts a table behind a line end that goes before it.
func (t *docTab) insertTable(index, rows, columns int) error {
	if rows < 1 || columns < 1 || columns > 20 {
		return badRequest("Invalid requests[0].insertTable: rows and columns must be 1 or more.")
	}
	if err := t.insert(index, "\n"); err != nil {
		return err
	}
	at, ok := find(&t.body, 1, index+1)
	if !ok {
		return badRequest("Invalid requests[0].insertTable")
	}
	var table [][]*docCell
	for range rows {
		var row []*docCell
		for range columns {
			row = append(row, &docCell{paragraphs("")})
		}
		table = append(table, row)
	}
	*at.body = slices.Insert(*at.body, at.at, docElement{table: table})
	return nil
}

// bullet makes list items of paragraphs; leading tabs become levels and go.
func (d *doc) bullet(t *docTab, from, to int, preset, id string) {
	d.lists[id] = preset
	within(t.body, 1, from, to, func(p *para, _ int) { p.list, p.level = id, 0 })
	each(t.body, func(p *para) {
		if p.list != id {
			return
		}
		for p.level < 8 && p.units[0].c == '\t' {
			p.units, p.level = p.units[1:], p.level+1
		}
	})
}

// replace replaces text in every paragraph and counts.
func (t *docTab) replace(text, with string, matchCase bool) int {
	n := 0
	each(t.body, func(p *para) {
		old, fold := p.text(), func(s string) string { return s }
		if !matchCase {
			fold = strings.ToLower
		}
		for from := 0; ; {
			i := strings.Index(fold(old[from:]), fold(text))
			if i < 0 || text == "" {
				return
			}
			start := len(utf16.Encode([]rune(old[:from+i])))
			length := len(utf16.Encode([]rune(text)))
			p.units = slices.Replace(p.units, start, start+length, units(with, p.units[start].look)...)
			old, from = p.text(), from+i+len(with)
			n++
		}
	})
	return n
}
