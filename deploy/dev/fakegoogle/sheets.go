package fakegoogle

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// sheet is one of a spreadsheet's.
type sheet struct {
	id            int
	title         string
	cells         [][]cell
	rows, columns int // of the grid
	frozen        int
}

type cell struct {
	value   any // nil, bool, float64 or string
	formula string
}

// sheets returns the sheets of a spreadsheet, made of its seeded rows at first.
func (f *file) sheets() []*sheet {
	if f.book == nil {
		s := &sheet{title: "Sheet1", rows: 1000, columns: 26}
		for _, row := range f.rows {
			var line []cell
			for _, v := range row {
				if n, ok := v.(int); ok {
					v = float64(n)
				}
				line = append(line, cell{value: v})
			}
			s.cells = append(s.cells, line)
		}
		s.rows = max(s.rows, len(s.cells))
		f.book = []*sheet{s}
	}
	return f.book
}

func csv(s *sheet) string {
	var b strings.Builder
	for _, row := range s.cells {
		for i, c := range row {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(s.formatted(c))
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

func (s *sheet) view() map[string]any {
	return map[string]any{"properties": map[string]any{
		"sheetId": s.id, "title": s.title, "sheetType": "GRID", "gridProperties": map[string]any{"rowCount": s.rows, "columnCount": s.columns, "frozenRowCount": s.frozen},
	}}
}

// area is a range of a sheet; rows and columns are counted from 0, ends are
// exclusive.
type area struct {
	sheet          *sheet
	r0, c0, r1, c1 int
}

func (f *file) area(a1 string) (area, error) {
	bad := badRequest("Unable to parse range: " + a1)
	all := f.sheets()
	named := func(name string) *sheet {
		for _, s := range all {
			if s.title == name {
				return s
			}
		}
		return nil
	}
	on, rest := all[0], a1
	if i := strings.LastIndex(a1, "!"); i >= 0 {
		name := a1[:i]
		if strings.HasPrefix(name, "'") && strings.HasSuffix(name, "'") && len(name) > 1 {
			name = strings.ReplaceAll(name[1:len(name)-1], "''", "'")
		}
		if on, rest = named(name), a1[i+1:]; on == nil {
			return area{}, bad
		}
	} else if s := named(strings.Trim(a1, "'")); s != nil {
		return area{s, 0, 0, s.rows, s.columns}, nil
	}
	corner := func(s string) (row, column int, ok bool) { // -1: open
		letters := strings.TrimRight(s, "0123456789")
		row, column = -1, -1
		for _, c := range letters {
			if c < 'A' || c > 'Z' {
				return 0, 0, false
			}
			column = (column+1)*26 + int(c-'A')
		}
		if digits := s[len(letters):]; digits != "" {
			n, err := strconv.Atoi(digits)
			if err != nil || n < 1 {
				return 0, 0, false
			}
			row = n - 1
		}
		return row, column, s != ""
	}
	first, last, ranged := strings.Cut(rest, ":")
	r0, c0, ok := corner(first)
	r1, c1 := r0, c0
	if ranged && ok {
		r1, c1, ok = corner(last)
	} else if ok && (r0 < 0 || c0 < 0) {
		ok = false
	}
	if !ok {
		return area{}, bad
	}
	out := area{on, max(r0, 0), max(c0, 0), on.rows, on.columns}
	if r1 >= 0 {
		out.r1 = r1 + 1
	}
	if c1 >= 0 {
		out.c1 = c1 + 1
	}
	if out.r0 >= on.rows || out.c0 >= on.columns {
		return area{}, badRequest("Range (" + a1 + ") exceeds grid limits. Max rows: " + strconv.Itoa(on.rows) + ", max columns: " + strconv.Itoa(on.columns))
	}
	if out.r1 <= out.r0 || out.c1 <= out.c0 {
		return area{}, bad
	}
	out.r1, out.c1 = min(out.r1, on.rows), min(out.c1, on.columns)
	return out, nil
}

func (a area) name() string {
	return quoteSheet(a.sheet.title) + "!" + corner(a.r0, a.c0) + ":" + corner(a.r1-1, a.c1-1)
}

func quoteSheet(title string) string {
	if strings.Trim(title, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == "" {
		return title
	}
	return "'" + strings.ReplaceAll(title, "'", "''") + "'"
}

func corner(row, column int) string {
	letters := ""
	for column++; column > 0; column = (column - 1) / 26 {
		letters = string(rune('A'+(column-1)%26)) + letters
	}
	return letters + strconv.Itoa(row+1)
}

func (s *sheet) at(row, column int) cell {
	if row < len(s.cells) && column < len(s.cells[row]) {
		return s.cells[row][column]
	}
	return cell{}
}

func (s *sheet) set(row, column int, c cell) {
	for len(s.cells) <= row {
		s.cells = append(s.cells, nil)
	}
	for len(s.cells[row]) <= column {
		s.cells[row] = append(s.cells[row], cell{})
	}
	s.cells[row][column] = c
	s.rows, s.columns = max(s.rows, row+1), max(s.columns, column+1)
}

// result is a cell's value: of formulas the stand-in knows SUM over a range.
func (s *sheet) result(c cell) any {
	if c.formula == "" {
		return c.value
	}
	inner, ok := strings.CutPrefix(strings.ToUpper(c.formula), "=SUM(")
	a, err := (&file{book: []*sheet{s}}).area(strings.TrimSuffix(inner, ")"))
	if !ok || err != nil {
		return "#NAME?"
	}
	sum := 0.0
	for r := a.r0; r < a.r1; r++ {
		for col := a.c0; col < a.c1; col++ {
			if n, ok := s.at(r, col).value.(float64); ok {
				sum += n
			}
		}
	}
	return sum
}

func (s *sheet) formatted(c cell) string {
	switch v := s.result(c).(type) {
	case nil:
		return ""
	case bool:
		return strings.ToUpper(strconv.FormatBool(v))
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

func (s *sheet) rendered(c cell, option string) any {
	switch option {
	case "FORMULA":
		if c.formula != "" {
			return c.formula
		}
		return c.value
	case "UNFORMATTED_VALUE":
		return s.result(c)
	}
	return s.formatted(c)
}

// values are a range's, without empty cells and rows at the ends.
func (a area) values(option string) [][]any {
	var out [][]any
	for r := a.r0; r < a.r1; r++ {
		line := []any{}
		for c := a.c0; c < a.c1; c++ {
			v := a.sheet.rendered(a.sheet.at(r, c), option)
			if v == nil {
				v = ""
			}
			line = append(line, v)
		}
		for len(line) > 0 && line[len(line)-1] == "" {
			line = line[:len(line)-1]
		}
		out = append(out, line)
	}
	for len(out) > 0 && len(out[len(out)-1]) == 0 {
		out = out[:len(out)-1]
	}
	return out
}

// entered is a value as a person would type it, or as it is.
func entered(v any, option string) (cell, bool) {
	switch v := v.(type) {
	case nil, bool, float64:
		return cell{value: v}, true
	case string:
		if option != "USER_ENTERED" {
			return cell{value: v}, true
		}
		if strings.HasPrefix(v, "=") {
			return cell{formula: v}, true
		}
		if n, err := strconv.ParseFloat(v, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
			return cell{value: n}, true
		}
		if b := strings.ToUpper(v); b == "TRUE" || b == "FALSE" {
			return cell{value: b == "TRUE"}, true
		}
		return cell{value: strings.TrimPrefix(v, "'")}, true
	}
	return cell{}, false
}

func (c *call) writeCells(f *file, a area, values [][]any) (map[string]any, error) {
	option := c.query.Get("valueInputOption")
	if option != "RAW" && option != "USER_ENTERED" {
		return nil, badRequest("'valueInputOption' is required but not specified")
	}
	n, widest := 0, 0
	for i, line := range values {
		for j, v := range line {
			if v == nil {
				continue // left as it is
			}
			e, ok := entered(v, option)
			if !ok {
				return nil, badRequest(fmt.Sprintf("Invalid values[%d][%d]: list_value or struct_value", i, j))
			}
			a.sheet.set(a.r0+i, a.c0+j, e)
			n++
		}
		widest = max(widest, len(line))
	}
	f.Modified = c.s.now().UTC()
	written := area{a.sheet, a.r0, a.c0, a.r0 + max(len(values), 1), a.c0 + max(widest, 1)}
	return map[string]any{"spreadsheetId": f.ID, "updatedRange": written.name(), "updatedRows": len(values), "updatedColumns": widest, "updatedCells": n}, nil
}

// SetSheet replaces the cells of a person's spreadsheet of this name, in a sheet
// of this title, and returns its id, "" if there is none.
func (s *Server) SetSheet(email, name, title string, rows [][]any) (id string) {
	u := s.userByEmail(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range u.files {
		if f.Name != name || f.MimeType != sheetType {
			continue
		}
		all := f.sheets()
		i := slices.IndexFunc(all, func(s *sheet) bool { return s.title == title })
		if i < 0 {
			f.book = append(all, &sheet{id: len(all), title: title, rows: 1000, columns: 26})
			i = len(all)
		}
		f.book[i].cells = nil
		for r, row := range rows {
			for c, v := range row {
				if n, ok := v.(int); ok {
					v = float64(n)
				}
				f.book[i].set(r, c, cell{value: v})
			}
		}
		return f.ID
	}
	return ""
}

func init() {
	view := func(f *file) map[string]any {
		list := []any{}
		for _, s := range f.sheets() {
			list = append(list, s.view())
		}
		return map[string]any{"spreadsheetId": f.ID, "properties": map[string]any{"title": f.Name, "locale": "en_US", "timeZone": "Europe/Berlin"}, "sheets": list, "spreadsheetUrl": "https://docs.google.com/spreadsheets/d/" + f.ID + "/edit"}
	}
	handle("sheets.spreadsheets.get", func(c *call) (any, error) {
		f, err := c.typed(c.path["spreadsheetId"], sheetType)
		if err != nil {
			return nil, err
		}
		return view(f), nil
	})
	handle("sheets.spreadsheets.create", func(c *call) (any, error) {
		var in struct{ Properties struct{ Title string } }
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		f := &file{ID: c.user.next("f"), Name: in.Properties.Title, MimeType: sheetType, Modified: c.s.now().UTC()}
		c.add(f)
		return view(f), nil
	})
	read := func(c *call, f *file, a1 string) (map[string]any, error) {
		a, err := f.area(a1)
		if err != nil {
			return nil, err
		}
		return map[string]any{"range": a.name(), "majorDimension": "ROWS", "values": a.values(c.query.Get("valueRenderOption"))}, nil
	}
	handle("sheets.spreadsheets.values.get", func(c *call) (any, error) {
		f, err := c.typed(c.path["spreadsheetId"], sheetType)
		if err != nil {
			return nil, err
		}
		return read(c, f, c.path["range"])
	})
	handle("sheets.spreadsheets.values.batchGet", func(c *call) (any, error) {
		f, err := c.typed(c.path["spreadsheetId"], sheetType)
		if err != nil {
			return nil, err
		}
		list := []any{}
		for _, a1 := range c.query["ranges"] {
			r, err := read(c, f, a1)
			if err != nil {
				return nil, err
			}
			list = append(list, r)
		}
		return map[string]any{"spreadsheetId": f.ID, "valueRanges": list}, nil
	})
	values := func(c *call) (*file, area, [][]any, error) {
		f, err := c.typed(c.path["spreadsheetId"], sheetType)
		if err != nil {
			return nil, area{}, nil, err
		}
		a, err := f.area(c.path["range"])
		if err != nil {
			return nil, area{}, nil, err
		}
		var in struct{ Values [][]any }
		err = c.decode(&in)
		return f, a, in.Values, err
	}
	handle("sheets.spreadsheets.values.update", func(c *call) (any, error) {
		f, a, in, err := values(c)
		if err != nil {
			return nil, err
		}
		if rest := c.path["range"][strings.LastIndex(c.path["range"], "!")+1:]; strings.Contains(rest, ":") {
			for _, line := range in {
				if len(in) > a.r1-a.r0 || len(line) > a.c1-a.c0 {
					return nil, badRequest("Requested writing within range [" + a.name() + "], but tried writing to row [" + strconv.Itoa(a.r0+len(in)) + "]")
				}
			}
		}
		return c.writeCells(f, a, in)
	})
	handle("sheets.spreadsheets.values.append", func(c *call) (any, error) {
		f, a, in, err := values(c)
		if err != nil {
			return nil, err
		}
		table := a.name()
		a.r0 = len(a.sheet.cells)
		out, err := c.writeCells(f, a, in)
		return map[string]any{"spreadsheetId": f.ID, "tableRange": table, "updates": out}, err
	})
	handle("sheets.spreadsheets.batchUpdate", func(c *call) (any, error) {
		f, err := c.typed(c.path["spreadsheetId"], sheetType)
		if err != nil {
			return nil, err
		}
		var in struct{ Requests []map[string]json.RawMessage }
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		replies := []any{}
		for _, r := range in.Requests {
			reply, err := f.changeSheets(r)
			if err != nil {
				return nil, err
			}
			replies = append(replies, reply)
		}
		f.Modified = c.s.now().UTC()
		return map[string]any{"spreadsheetId": f.ID, "replies": replies}, nil
	})
}
