package sheets

import (
	"context"
	"fmt"

	"google.golang.org/api/sheets/v4"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	google   = "https://www.googleapis.com/auth/"
	readonly = google + "spreadsheets.readonly"
	writing  = google + "spreadsheets"
	maxTitle = 300
)

type product struct{ api *googleapi.API }

// Tools returns the Sheets tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	p := &product{api}
	read, write := oauth.NewScopes("sheets.read"), oauth.NewScopes("sheets.write")
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "sheets_read", Title: "Read cells",
		Description: "Read ranges of a spreadsheet: numbers as numbers, dates as text.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read,
	}, p.read)
	tool.Add(&s, tool.Description{
		Name: "sheets_write", Title: "Write cells",
		Description: "Write rows over a range, or append them below its table. null keeps a cell.",
		Scopes:      write, Google: oauth.NewScopes(writing), Also: googleapi.Sees(), Hints: tool.Create,
	}, p.write)
	tool.Add(&s, tool.Description{
		Name: "sheets_info", Title: "List the sheets of a spreadsheet",
		Description: "List the sheets of a spreadsheet with their ids and sizes, its named ranges, locale and time zone.",
		Scopes:      read, Google: oauth.NewScopes(readonly), Hints: tool.Read, Tier: tool.Extended,
	}, p.info)
	tool.Add(&s, tool.Description{
		Name: "sheets_batch_update", Title: "Change sheets and formats",
		Description: "Add, copy or rename sheets, add rows and columns, sort, filter and format cells: requests of the Sheets API, in one step. Nothing is deleted.",
		Scopes:      write, Google: oauth.NewScopes(writing), Also: googleapi.Sees(), Hints: tool.Create, Tier: tool.Extended,
	}, p.batch)
	return s.Tools()
}

func (p *product) open(ctx context.Context, account string) (*sheets.SpreadsheetsService, googleapi.Account, error) {
	service, used, err := googleapi.Service(ctx, p.api, account, "", sheets.NewService)
	if err != nil {
		return nil, googleapi.Account{}, err
	}
	return service.Spreadsheets, used, nil
}

func spreadsheets(ctx context.Context, s *googleapi.Session) (*sheets.SpreadsheetsService, error) {
	service, err := sheets.NewService(ctx, s.Options("")...)
	if err != nil {
		return nil, fmt.Errorf("making Sheets client: %w", err)
	}
	return service.Spreadsheets, nil
}

// book is a spreadsheet without its cells.
type book struct {
	ID, Title, Locale, Zone string
	sheets                  []sheet
	named                   []*sheets.NamedRange
}

type sheet struct {
	ID      int64  `json:"sheet_id"`
	Title   string `json:"title"`
	Rows    int64  `json:"rows"`
	Columns int64  `json:"columns"`
	Frozen  int64  `json:"frozen_rows,omitempty"`
	Hidden  bool   `json:"hidden,omitempty"`

	title string // as Google has it, for ranges
}

func readBook(ctx context.Context, s *sheets.SpreadsheetsService, id string) (*book, error) {
	got, err := s.Get(id).Fields("spreadsheetId,properties(title,locale,timeZone),namedRanges,sheets/properties(sheetId,title,sheetType,hidden,gridProperties(rowCount,columnCount,frozenRowCount))").Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("reading spreadsheet", err)
	}
	out := &book{ID: got.SpreadsheetId, named: got.NamedRanges}
	if got.Properties != nil {
		out.Title, out.Locale, out.Zone = content.Line(got.Properties.Title, maxTitle), got.Properties.Locale, got.Properties.TimeZone
	}
	for _, s := range got.Sheets {
		if s.Properties == nil || s.Properties.GridProperties == nil { // charts have no cells
			continue
		}
		out.sheets = append(out.sheets, sheet{
			ID: s.Properties.SheetId, Title: content.Line(s.Properties.Title, maxTitle), title: s.Properties.Title, Hidden: s.Properties.Hidden,
			Rows: s.Properties.GridProperties.RowCount, Columns: s.Properties.GridProperties.ColumnCount, Frozen: s.Properties.GridProperties.FrozenRowCount,
		})
	}
	if len(out.sheets) == 0 {
		return nil, &tool.Error{Code: tool.CodeNotFound, Message: "The spreadsheet has no sheet with cells."}
	}
	return out, nil
}

// grid reads an A1 range of the book and cuts it to its sheet.
func (b *book) grid(a1 string) (grid, error) {
	var titles []string
	for _, s := range b.sheets {
		titles = append(titles, s.title)
	}
	g, ok := parseA1(a1, titles)
	if !ok {
		return grid{}, tool.Invalid("A range must be in A1 notation, as Sheet1!A1:C10, 'My sheet'!A:C or a sheet's name, and of a sheet that exists.")
	}
	if g.sheet == "" {
		g.sheet = b.sheets[0].title
	}
	for _, s := range b.sheets {
		if s.title == g.sheet {
			if g, ok = g.within(s.Rows, s.Columns); !ok {
				return grid{}, tool.Invalid("A range lies outside of its sheet of %s and %s.", content.Count(s.Rows, "row", "rows"), content.Count(s.Columns, "column", "columns"))
			}
		}
	}
	return g, nil
}

// Address is where a person opens a spreadsheet.
func Address(id string) string { return "https://docs.google.com/spreadsheets/d/" + id + "/edit" }
