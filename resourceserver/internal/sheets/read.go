package sheets

import (
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/api/sheets/v4"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	defaultCells = 2_000
	maxChars     = 30_000 // of all values of one result
	maxCell      = 2_000  // characters of one value
)

type readInput struct {
	SpreadsheetID string   `json:"spreadsheet_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Ranges        []string `json:"ranges,omitempty" jsonschema:"A1 notation; default: the first sheet" limit:"maxitems=20"`
	Values        string   `json:"values,omitempty" enum:"raw,formatted,formulas" jsonschema:"default raw"`
	MaxCells      int64    `json:"max_cells,omitempty" jsonschema:"default 2000" limit:"min=10,max=10000"`
	PageToken     string   `json:"page_token,omitempty" jsonschema:"next_page_token" limit:"maxlen=100"`
	Account       string   `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type readOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	SpreadsheetID string            `json:"spreadsheet_id"`
	Title         string            `json:"title"`
	Ranges        []values          `json:"ranges"`
	Truncated     bool              `json:"truncated"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}

type values struct {
	Range string  `json:"range"`  // that was read; empty rows at its end are left out
	Rows  [][]any `json:"values"` // text, numbers, true and false
}

// rendering is Google's word for the kinds of values.
var rendering = map[string]string{"": "UNFORMATTED_VALUE", "raw": "UNFORMATTED_VALUE", "formatted": "FORMATTED_VALUE", "formulas": "FORMULA"}

func (p *product) read(ctx context.Context, in readInput) (tool.Output[readOutput], error) {
	var out tool.Output[readOutput]
	id, err := fileid.Parse("spreadsheet_id", in.SpreadsheetID)
	if err != nil {
		return out, err
	}
	if in.MaxCells == 0 {
		in.MaxCells = defaultCells
	}
	first, skip, err := parseToken(in.PageToken, max(len(in.Ranges), 1))
	if err != nil {
		return out, err
	}
	s, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	b, err := readBook(ctx, s, id)
	if err != nil {
		return out, err
	}
	if len(in.Ranges) == 0 {
		in.Ranges = []string{grid{sheet: b.sheets[0].title, rowEnd: b.sheets[0].Rows, columnEnd: b.sheets[0].Columns}.String()}
	}
	var grids []grid
	for _, r := range in.Ranges {
		g, err := b.grid(r)
		if err != nil {
			return out, err
		}
		grids = append(grids, g)
	}
	v := readOutput{Account: account, Notice: content.Notice, SpreadsheetID: b.ID, Title: b.Title, Ranges: []values{}}
	left := budget{in.MaxCells, maxChars}
	for i := first; i < len(grids) && v.NextPageToken == ""; i++ {
		from := grids[i].row
		if i == first {
			from += skip
		}
		if from >= grids[i].rowEnd {
			return out, tool.Invalid("page_token does not belong to these ranges.")
		}
		g := grids[i]
		g.row = from
		rows, next, err := left.fill(ctx, s, id, g, rendering[in.Values])
		if err != nil {
			return out, err
		}
		if next < g.rowEnd {
			v.NextPageToken = token(i, next-grids[i].row)
		}
		if g.rowEnd = next; g.rowEnd > g.row {
			v.Ranges = append(v.Ranges, values{Range: g.String(), Rows: rows})
		}
	}
	v.Truncated = v.NextPageToken != ""
	out.Value, out.Text = v, v.text()
	return out, nil
}

// budget is what a result may still hold.
type budget struct {
	cells int64
	chars int
}

// windows bounds the requests for one range, if it is mostly empty.
const windows = 10

// fill reads rows of a range until the budget is used up, and returns them with
// the row that comes next. Windows are read that are larger than the budget,
// because Google leaves empty cells at the ends of rows and sheets out. The first
// row is always taken, so that every page goes on.
func (b *budget) fill(ctx context.Context, s *sheets.SpreadsheetsService, id string, g grid, rendering string) (rows [][]any, next int64, err error) {
	rows = [][]any{}
	whole := b.cells
	next = g.row
	for range windows {
		if next >= g.rowEnd || b.cells <= 0 || b.chars <= 0 {
			return rows, next, nil
		}
		window := g
		window.row = next
		window.rowEnd = min(g.rowEnd, next+max(4*whole/(g.columnEnd-g.column), 1))
		got, err := s.Values.Get(id, window.String()).ValueRenderOption(rendering).DateTimeRenderOption("FORMATTED_STRING").Fields("range,values").Context(ctx).Do()
		if err != nil {
			return nil, 0, googleapi.Error("reading cells", err)
		}
		for _, row := range got.Values {
			line, size := make([]any, len(row)), 1
			for j, c := range row {
				line[j] = shown(c)
				size += len([]rune(fmt.Sprint(line[j]))) + 1
			}
			if b.cells -= int64(max(len(row), 1)); len(rows) > 0 && (b.cells < 0 || b.chars < size) {
				b.cells = 0
				return rows, next, nil
			}
			b.chars -= size
			for int64(len(rows)) < next-g.row { // empty rows of the window before
				rows = append(rows, []any{})
			}
			rows, next = append(rows, line), next+1
		}
		next = window.rowEnd
	}
	return rows, next, nil
}

// shown is a value as a result has it.
func shown(v any) any {
	if s, ok := v.(string); ok {
		part, _, more := content.Cut(content.Clean(s), 0, maxCell)
		if more {
			part += "…"
		}
		return part
	}
	return v
}

func token(i int, row int64) string { return strconv.Itoa(i) + ":" + strconv.FormatInt(row, 10) }

func parseToken(s string, ranges int) (i int, row int64, err error) {
	if s == "" {
		return 0, 0, nil
	}
	a, b, ok := strings.Cut(s, ":")
	i, err = strconv.Atoi(a)
	if row, _ = strconv.ParseInt(b, 10, 64); !ok || err != nil || i < 0 || i >= ranges || row < 0 || token(i, row) != s {
		return 0, 0, tool.Invalid("page_token is not one that this tool returned.")
	}
	return i, row, nil
}

func (v readOutput) text() string {
	var b, list strings.Builder
	fmt.Fprintf(&b, "Spreadsheet %s in %s. %s\n", v.SpreadsheetID, v.Account.Email, content.Notice)
	fmt.Fprintf(&list, "Title: %s\n", v.Title)
	for _, r := range v.Ranges {
		list.WriteString(r.Range + "\n" + asCSV(r.Rows))
	}
	b.WriteString(content.Fence(list.String()))
	if v.Truncated {
		fmt.Fprintf(&b, "\nThere is more: page_token %s", v.NextPageToken)
	}
	return b.String()
}

// asCSV writes rows as comma-separated values (RFC 4180).
func asCSV(rows [][]any) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	for _, row := range rows {
		line := make([]string, len(row))
		for i, v := range row {
			line[i] = fmt.Sprint(shown(v))
			if n, ok := v.(float64); ok {
				line[i] = strconv.FormatFloat(n, 'f', -1, 64)
			}
		}
		_ = w.Write(line) // to memory
	}
	w.Flush()
	return b.String()
}

const (
	csvSheets  = 20
	csvCells   = 50_000  // in all, empty ones at the ends of rows not counted
	csvColumns = 500     // of a sheet
	csvWindow  = 200_000 // cells of a sheet, empty ones counted
)

// CSV reads a whole spreadsheet as text, sheet by sheet. cut says that it was too
// much: at most 20 sheets and 50,000 cells are read.
func CSV(ctx context.Context, session *googleapi.Session, id string) (text string, cut bool, err error) {
	s, err := spreadsheets(ctx, session)
	if err != nil {
		return "", false, err
	}
	b, err := readBook(ctx, s, id)
	if err != nil {
		return "", false, err
	}
	var out strings.Builder
	left := csvCells
	for i, one := range b.sheets {
		if i == csvSheets || left <= 0 {
			cut = true
			break
		}
		g := grid{one.title, 0, 0, one.Rows, min(one.Columns, csvColumns)}
		g.rowEnd = min(one.Rows, csvWindow/g.columnEnd)
		got, err := s.Values.Get(id, g.String()).ValueRenderOption("FORMATTED_VALUE").Fields("range,values").Context(ctx).Do()
		if err != nil {
			return "", false, googleapi.Error("reading cells", err)
		}
		rows := got.Values
		cut = cut || one.Columns > csvColumns || int64(len(rows)) == g.rowEnd && g.rowEnd < one.Rows
		for n, row := range rows {
			if left -= max(len(row), 1); left < 0 {
				rows, cut = rows[:n], true
				break
			}
		}
		if len(b.sheets) > 1 {
			fmt.Fprintf(&out, "[sheet: %s]\n", one.Title)
		}
		out.WriteString(asCSV(rows) + "\n")
	}
	return strings.TrimRight(out.String(), "\n") + "\n", cut, nil
}
