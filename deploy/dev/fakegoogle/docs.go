package fakegoogle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// document returns the model of a Google document, made of its seeded text at
// first.
func (f *file) document() *doc {
	if f.doc == nil {
		f.doc = newDoc(string(f.content))
	}
	return f.doc
}

func (d *doc) view(f *file, withTabs bool) map[string]any {
	out := map[string]any{"documentId": f.ID, "title": f.Name, "revisionId": "rev-" + strconv.Itoa(d.revision)}
	part := func(t *docTab) map[string]any {
		lists := map[string]any{}
		for id, preset := range d.lists {
			lists[id] = map[string]any{"listProperties": map[string]any{"nestingLevels": levels(preset)}}
		}
		notes := map[string]any{}
		for id, body := range d.notes {
			notes[id] = map[string]any{"footnoteId": id, "content": elements(body, 0)}
		}
		section := map[string]any{"endIndex": 1, "sectionBreak": map[string]any{}}
		return map[string]any{"body": map[string]any{"content": append([]any{section}, elements(t.body, 1)...)}, "lists": lists, "footnotes": notes}
	}
	if !withTabs {
		for k, v := range part(d.tabs[0]) {
			out[k] = v
		}
		return out
	}
	tabs := []any{}
	for i, t := range d.tabs {
		tabs = append(tabs, map[string]any{"tabProperties": map[string]any{"tabId": t.id, "title": t.title, "index": i}, "documentTab": part(t)})
	}
	out["tabs"] = tabs
	return out
}

// levels are the nesting levels of a list of a preset.
func levels(preset string) []any {
	var out []any
	for i := range 9 {
		if strings.HasPrefix(preset, "NUMBERED") {
			out = append(out, map[string]any{"glyphType": []string{"DECIMAL", "ALPHA", "ROMAN"}[i%3], "glyphFormat": "%" + strconv.Itoa(i) + "."})
		} else {
			out = append(out, map[string]any{"glyphSymbol": []string{"●", "○", "■"}[i%3], "glyphFormat": "%" + strconv.Itoa(i)})
		}
	}
	return out
}

func elements(body []docElement, start int) []any {
	out := []any{}
	for _, e := range body {
		view := map[string]any{"startIndex": start, "endIndex": start + e.size()}
		if e.para != nil {
			view["paragraph"] = e.para.view(start)
		} else {
			rows, at := []any{}, start+1
			for _, row := range e.table {
				cells, first := []any{}, at
				at++
				for _, c := range row {
					next := at + 1 + size(c.body)
					cells = append(cells, map[string]any{"startIndex": at, "endIndex": next, "content": elements(c.body, at+1)})
					at = next
				}
				rows = append(rows, map[string]any{"startIndex": first, "endIndex": at, "tableCells": cells})
			}
			view["table"] = map[string]any{"rows": len(e.table), "columns": len(e.table[0]), "tableRows": rows}
		}
		out, start = append(out, view), start+e.size()
	}
	return out
}

func points(n float64) map[string]any { return map[string]any{"magnitude": n, "unit": "PT"} }

func (p *para) view(start int) map[string]any {
	style := map[string]any{"namedStyleType": p.look.named}
	if p.look.indent > 0 {
		style["indentStart"] = points(p.look.indent)
	}
	for name, width := range map[string]float64{"borderLeft": p.look.left, "borderBottom": p.look.bottom} {
		if width > 0 {
			style[name] = map[string]any{"width": points(width)}
		}
	}
	if p.look.shaded {
		style["shading"] = map[string]any{"backgroundColor": map[string]any{"color": map[string]any{"rgbColor": map[string]any{"red": 0.95}}}}
	}
	runs := []any{}
	for from := 0; from < len(p.units); {
		to := from + 1
		for to < len(p.units) && p.units[to].look == p.units[from].look && p.units[to].note == "" && p.units[from].note == "" {
			to++
		}
		run := map[string]any{"startIndex": start + from, "endIndex": start + to}
		if note := p.units[from].note; note != "" {
			run["footnoteReference"] = map[string]any{"footnoteId": note, "footnoteNumber": strings.TrimPrefix(note, "kix.fn")}
		} else {
			var c []uint16
			for _, u := range p.units[from:to] {
				c = append(c, u.c)
			}
			run["textRun"] = map[string]any{"content": string(utf16.Decode(c)), "textStyle": p.units[from].look.view()}
		}
		runs, from = append(runs, run), to
	}
	out := map[string]any{"elements": runs, "paragraphStyle": style}
	if p.list != "" {
		out["bullet"] = map[string]any{"listId": p.list, "nestingLevel": p.level}
	}
	return out
}

func (l textLook) view() map[string]any {
	out := map[string]any{}
	for name, on := range map[string]bool{"bold": l.bold, "italic": l.italic, "strikethrough": l.strike, "underline": l.underline} {
		if on {
			out[name] = true
		}
	}
	if l.font != "" {
		out["weightedFontFamily"] = map[string]any{"fontFamily": l.font, "weight": 400}
	}
	if l.link != "" {
		out["link"] = map[string]any{"url": l.link}
	}
	return out
}

type docRange struct {
	StartIndex, EndIndex int
	TabID                string
}

type dimension struct{ Magnitude float64 }

// docRequest is a request of batchUpdate; exactly one member is set.
type docRequest struct {
	InsertText *struct {
		Text                 string
		Location             *struct{ Index int }
		EndOfSegmentLocation *struct{}
	}
	ReplaceAllText *struct {
		ReplaceText  string
		ContainsText struct {
			Text      string
			MatchCase bool
		}
		TabsCriteria struct{ TabIDs []string }
	}
	InsertTable *struct {
		Rows, Columns int
		Location      struct{ Index int }
	}
	UpdateTextStyle *struct {
		Range     docRange
		Fields    string
		TextStyle struct {
			Bold, Italic, Strikethrough, Underline bool
			WeightedFontFamily                     struct{ FontFamily string }
			Link                                   struct{ URL string }
		}
	}
	UpdateParagraphStyle *struct {
		Range          docRange
		Fields         string
		ParagraphStyle struct {
			NamedStyleType           string
			IndentStart              dimension
			BorderLeft, BorderBottom struct{ Width dimension }
			Shading                  struct{ BackgroundColor struct{ Color any } }
		}
	}
	CreateParagraphBullets *struct {
		Range        docRange
		BulletPreset string
	}
	DeleteParagraphBullets *struct{ Range docRange }
}

// tabOf reads the tab that a request names, wherever it does.
func (r docRequest) check(t *docTab, from, to int) error {
	if end := 1 + size(t.body); from < 1 || to <= from || to > end {
		return badRequest(fmt.Sprintf("Invalid requests: The range %d-%d is empty or outside of the document.", from, to))
	}
	return nil
}

func (d *doc) apply(c *call, r docRequest, tabID string) (map[string]any, error) {
	t, err := d.tab(tabID)
	if err != nil {
		return nil, err
	}
	switch {
	case r.InsertText != nil && r.InsertText.Location != nil:
		return map[string]any{}, t.insert(r.InsertText.Location.Index, r.InsertText.Text)
	case r.InsertText != nil:
		return map[string]any{}, t.insert(size(t.body), r.InsertText.Text)
	case r.InsertTable != nil:
		return map[string]any{}, t.insertTable(r.InsertTable.Location.Index, r.InsertTable.Rows, r.InsertTable.Columns)
	case r.ReplaceAllText != nil:
		n := 0
		for _, t := range d.tabs {
			if ids := r.ReplaceAllText.TabsCriteria.TabIDs; len(ids) == 0 || slices.Contains(ids, t.id) {
				n += t.replace(r.ReplaceAllText.ContainsText.Text, r.ReplaceAllText.ReplaceText, r.ReplaceAllText.ContainsText.MatchCase)
			}
		}
		return map[string]any{"replaceAllText": map[string]any{"occurrencesChanged": n}}, nil
	case r.UpdateTextStyle != nil:
		u := r.UpdateTextStyle
		if err := r.check(t, u.Range.StartIndex, u.Range.EndIndex); err != nil {
			return nil, err
		}
		within(t.body, 1, u.Range.StartIndex, u.Range.EndIndex, func(p *para, start int) {
			for i := range p.units {
				if start+i < u.Range.StartIndex || start+i >= u.Range.EndIndex {
					continue
				}
				l := &p.units[i].look
				for field := range strings.SplitSeq(u.Fields, ",") {
					switch field {
					case "bold":
						l.bold = u.TextStyle.Bold
					case "italic":
						l.italic = u.TextStyle.Italic
					case "strikethrough":
						l.strike = u.TextStyle.Strikethrough
					case "underline":
						l.underline = u.TextStyle.Underline
					case "weightedFontFamily":
						l.font = u.TextStyle.WeightedFontFamily.FontFamily
					case "link":
						l.link = u.TextStyle.Link.URL
					}
				}
			}
		})
		return map[string]any{}, nil
	case r.UpdateParagraphStyle != nil:
		u := r.UpdateParagraphStyle
		if err := r.check(t, u.Range.StartIndex, u.Range.EndIndex); err != nil {
			return nil, err
		}
		within(t.body, 1, u.Range.StartIndex, u.Range.EndIndex, func(p *para, _ int) {
			for field := range strings.SplitSeq(u.Fields, ",") {
				switch field {
				case "namedStyleType":
					p.look.named = u.ParagraphStyle.NamedStyleType
				case "indentStart":
					p.look.indent = u.ParagraphStyle.IndentStart.Magnitude
				case "borderLeft":
					p.look.left = u.ParagraphStyle.BorderLeft.Width.Magnitude
				case "borderBottom":
					p.look.bottom = u.ParagraphStyle.BorderBottom.Width.Magnitude
				case "shading":
					p.look.shaded = u.ParagraphStyle.Shading.BackgroundColor.Color != nil
				}
			}
		})
		return map[string]any{}, nil
	case r.CreateParagraphBullets != nil:
		u := r.CreateParagraphBullets
		if err := r.check(t, u.Range.StartIndex, u.Range.EndIndex); err != nil {
			return nil, err
		}
		d.bullet(t, u.Range.StartIndex, u.Range.EndIndex, u.BulletPreset, "kix."+c.user.next("l"))
		return map[string]any{}, nil
	case r.DeleteParagraphBullets != nil:
		u := r.DeleteParagraphBullets
		if err := r.check(t, u.Range.StartIndex, u.Range.EndIndex); err != nil {
			return nil, err
		}
		within(t.body, 1, u.Range.StartIndex, u.Range.EndIndex, func(p *para, _ int) { p.list, p.level = "", 0 })
		return map[string]any{}, nil
	}
	return nil, badRequest("The stand-in for Google does not know this request.")
}

// tabIn finds the tabId of a request's location or range.
func tabIn(request map[string]any) string {
	for _, v := range request {
		body, _ := v.(map[string]any)
		for _, name := range []string{"location", "range", "endOfSegmentLocation"} {
			if l, ok := body[name].(map[string]any); ok {
				id, _ := l["tabId"].(string)
				return id
			}
		}
	}
	return ""
}

// SetDocument replaces a document's text, as somebody else's edit, with further
// tabs: pairs of titles and texts. It returns the document's id, "" if there is
// none of that name.
func (s *Server) SetDocument(email, name, text string, tabs ...string) (id string) {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range u.files {
		if f.Name == name && f.MimeType == docType {
			revision := f.document().revision
			f.doc = newDoc(text)
			f.doc.revision = revision + 1
			for i := 0; i+1 < len(tabs); i += 2 {
				f.doc.tabs = append(f.doc.tabs, &docTab{id: "t." + strconv.Itoa(i/2+1), title: tabs[i], body: paragraphs(tabs[i+1])})
			}
			return f.ID
		}
	}
	return ""
}

func init() {
	handle("docs.documents.get", func(c *call) (any, error) {
		f, err := c.typed(c.path["documentId"], docType)
		if err != nil {
			return nil, err
		}
		return f.document().view(f, c.query.Get("includeTabsContent") == "true"), nil
	})
	handle("docs.documents.create", func(c *call) (any, error) {
		var in struct{ Title string }
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		f := &file{ID: c.user.next("f"), Name: in.Title, MimeType: docType, Modified: c.s.now().UTC()}
		c.add(f)
		return f.document().view(f, false), nil
	})
	handle("docs.documents.batchUpdate", func(c *call) (any, error) {
		f, err := c.typed(c.path["documentId"], docType)
		if err != nil {
			return nil, err
		}
		var in struct {
			Requests     []docRequest
			WriteControl struct{ RequiredRevisionID string }
		}
		var raw struct{ Requests []map[string]any }
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		if err := c.decode(&raw); err != nil {
			return nil, err
		}
		d := f.document()
		if want := in.WriteControl.RequiredRevisionID; want != "" && want != "rev-"+strconv.Itoa(d.revision) {
			return nil, badRequest("The required revision ID '" + want + "' does not match the latest revision.")
		}
		// All or nothing (Docs API, batchUpdate).
		next := d.clone()
		next.revision = d.revision + 1
		replies := []any{}
		for i, r := range in.Requests {
			reply, err := next.apply(c, r, tabIn(raw.Requests[i]))
			if err != nil {
				return nil, err
			}
			replies = append(replies, reply)
		}
		f.doc, f.Modified = next, c.s.now().UTC()
		return map[string]any{"documentId": f.ID, "replies": replies, "writeControl": map[string]any{"requiredRevisionId": "rev-" + strconv.Itoa(next.revision)}}, nil
	})
}

// typed is a file of one type: each API knows its own only.
func (c *call) typed(id, mimeType string) (*file, error) {
	f, err := c.file(id)
	if err != nil || f.MimeType != mimeType {
		return nil, notFound("Requested entity was")
	}
	return f, nil
}
