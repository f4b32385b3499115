package fakegoogle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func csv(rows [][]any) string {
	var b strings.Builder
	for _, row := range rows {
		for i, v := range row {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprint(&b, v)
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// cells reads an A1 range: whole sheet, A1 or A1:C3. Columns A to Z.
func cells(a1 string) (row, col, rows, cols int, err error) {
	if i := strings.LastIndex(a1, "!"); i >= 0 {
		a1 = a1[i+1:]
	}
	at := func(s string) (int, int, bool) {
		if len(s) < 2 || s[0] < 'A' || s[0] > 'Z' {
			return 0, 0, false
		}
		n, err := strconv.Atoi(s[1:])
		return n - 1, int(s[0] - 'A'), err == nil && n > 0
	}
	first, last, ranged := strings.Cut(a1, ":")
	row, col, ok := at(first)
	if !ok {
		return 0, 0, 1 << 20, 26, nil // a sheet's name: everything
	}
	rows, cols = 1, 1
	if ranged {
		r2, c2, ok := at(last)
		if !ok || r2 < row || c2 < col {
			return 0, 0, 0, 0, badRequest("Unable to parse range: " + a1)
		}
		rows, cols = r2-row+1, c2-col+1
	}
	return row, col, rows, cols, nil
}

func (c *call) typed(id, mimeType string) (*file, error) {
	f, err := c.file(id)
	if err != nil || f.MimeType != mimeType {
		return nil, notFound("Requested entity was")
	}
	return f, nil
}

func (c *call) read(f *file, a1 string) (map[string]any, error) {
	row, col, rows, cols, err := cells(a1)
	if err != nil {
		return nil, err
	}
	values := [][]any{}
	for r := row; r < min(row+rows, len(f.rows)); r++ {
		line := f.rows[r]
		values = append(values, line[min(col, len(line)):min(col+cols, len(line))])
	}
	return map[string]any{"range": a1, "majorDimension": "ROWS", "values": values}, nil
}

func (c *call) write(f *file, a1 string, values [][]any) (map[string]any, error) {
	row, col, _, _, err := cells(a1)
	if err != nil {
		return nil, err
	}
	n := 0
	for i, line := range values {
		for len(f.rows) <= row+i {
			f.rows = append(f.rows, nil)
		}
		for j, v := range line {
			for len(f.rows[row+i]) <= col+j {
				f.rows[row+i] = append(f.rows[row+i], "")
			}
			f.rows[row+i][col+j] = v
			n++
		}
	}
	f.Modified = c.s.now().UTC()
	return map[string]any{"spreadsheetId": f.ID, "updatedRange": a1, "updatedRows": len(values), "updatedCells": n}, nil
}

func document(f *file) map[string]any {
	content := []any{}
	index := 1
	for _, line := range strings.SplitAfter(string(f.content), "\n") {
		if line == "" {
			continue
		}
		content = append(content, map[string]any{"startIndex": index, "endIndex": index + len(line), "paragraph": map[string]any{
			"elements":       []any{map[string]any{"startIndex": index, "endIndex": index + len(line), "textRun": map[string]any{"content": line}}},
			"paragraphStyle": map[string]any{"namedStyleType": "NORMAL_TEXT"},
		}})
		index += len(line)
	}
	return map[string]any{"documentId": f.ID, "title": f.Name, "body": map[string]any{"content": content}}
}

func init() {
	handle("docs.documents.get", func(c *call) (any, error) {
		f, err := c.typed(c.path["documentId"], docType)
		if err != nil {
			return nil, err
		}
		return document(f), nil
	})
	handle("docs.documents.create", func(c *call) (any, error) {
		var in struct{ Title string }
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		f := &file{ID: c.user.next("f"), Name: in.Title, MimeType: docType, Modified: c.s.now().UTC()}
		c.user.files = append(c.user.files, f)
		return document(f), nil
	})
	handle("docs.documents.batchUpdate", func(c *call) (any, error) {
		f, err := c.typed(c.path["documentId"], docType)
		if err != nil {
			return nil, err
		}
		var in struct {
			Requests []struct {
				InsertText *struct {
					Text     string
					Location *struct{ Index int }
				}
				ReplaceAllText *struct {
					ReplaceText  string
					ContainsText struct{ Text string }
				}
			}
		}
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		replies := []any{}
		for _, r := range in.Requests {
			switch {
			case r.InsertText != nil:
				at := len(f.content)
				if r.InsertText.Location != nil {
					at = r.InsertText.Location.Index - 1
				}
				if at < 0 || at > len(f.content) {
					return nil, badRequest("Invalid requests[0].insertText: Index is out of bounds.")
				}
				f.content = slices.Concat(f.content[:at], []byte(r.InsertText.Text), f.content[at:])
				replies = append(replies, map[string]any{})
			case r.ReplaceAllText != nil:
				n := strings.Count(string(f.content), r.ReplaceAllText.ContainsText.Text)
				f.content = []byte(strings.ReplaceAll(string(f.content), r.ReplaceAllText.ContainsText.Text, r.ReplaceAllText.ReplaceText))
				replies = append(replies, map[string]any{"replaceAllText": map[string]any{"occurrencesChanged": n}})
			default:
				return nil, badRequest("The stand-in for Google knows insertText and replaceAllText.")
			}
		}
		f.Modified = c.s.now().UTC()
		return map[string]any{"documentId": f.ID, "replies": replies}, nil
	})
	sheet := func(f *file) map[string]any {
		return map[string]any{"spreadsheetId": f.ID, "properties": map[string]any{"title": f.Name}, "sheets": []any{map[string]any{"properties": map[string]any{"sheetId": 0, "title": "Sheet1", "gridProperties": map[string]any{"rowCount": 1000, "columnCount": 26}}}}}
	}
	handle("sheets.spreadsheets.get", func(c *call) (any, error) {
		f, err := c.typed(c.path["spreadsheetId"], sheetType)
		if err != nil {
			return nil, err
		}
		return sheet(f), nil
	})
	handle("sheets.spreadsheets.create", func(c *call) (any, error) {
		var in struct{ Properties struct{ Title string } }
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		f := &file{ID: c.user.next("f"), Name: in.Properties.Title, MimeType: sheetType, Modified: c.s.now().UTC()}
		c.user.files = append(c.user.files, f)
		return sheet(f), nil
	})
	handle("sheets.spreadsheets.values.get", func(c *call) (any, error) {
		f, err := c.typed(c.path["spreadsheetId"], sheetType)
		if err != nil {
			return nil, err
		}
		return c.read(f, c.path["range"])
	})
	values := func(c *call) (*file, [][]any, error) {
		f, err := c.typed(c.path["spreadsheetId"], sheetType)
		if err != nil {
			return nil, nil, err
		}
		var in struct{ Values [][]any }
		err = c.decode(&in)
		return f, in.Values, err
	}
	handle("sheets.spreadsheets.values.update", func(c *call) (any, error) {
		f, in, err := values(c)
		if err != nil {
			return nil, err
		}
		return c.write(f, c.path["range"], in)
	})
	handle("sheets.spreadsheets.values.append", func(c *call) (any, error) {
		f, in, err := values(c)
		if err != nil {
			return nil, err
		}
		out, err := c.write(f, "A"+strconv.Itoa(len(f.rows)+1), in)
		return map[string]any{"spreadsheetId": f.ID, "updates": out}, err
	})
}
