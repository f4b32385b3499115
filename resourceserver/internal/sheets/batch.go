package sheets

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/api/sheets/v4"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

type infoInput struct {
	SpreadsheetID string `json:"spreadsheet_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Account       string `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type infoOutput struct {
	Account       googleapi.Account `json:"account"`
	Notice        string            `json:"notice"`
	SpreadsheetID string            `json:"spreadsheet_id"`
	Title         string            `json:"title"`
	Locale        string            `json:"locale,omitempty"`
	TimeZone      string            `json:"time_zone,omitempty"`
	Sheets        []sheet           `json:"sheets"`
	NamedRanges   []string          `json:"named_ranges"`
	URL           string            `json:"url"`
}

const maxNamed = 200

func (p *product) info(ctx context.Context, in infoInput) (tool.Output[infoOutput], error) {
	var out tool.Output[infoOutput]
	id, err := fileid.Parse("spreadsheet_id", in.SpreadsheetID)
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
	v := infoOutput{Account: account, Notice: content.Notice, SpreadsheetID: b.ID, Title: b.Title, Locale: b.Locale, TimeZone: b.Zone, Sheets: b.sheets, NamedRanges: []string{}, URL: Address(b.ID)}
	for _, n := range b.named[:min(len(b.named), maxNamed)] {
		v.NamedRanges = append(v.NamedRanges, content.Line(n.Name, maxTitle))
	}
	var list strings.Builder
	fmt.Fprintf(&list, "Title: %s\n", v.Title)
	for _, s := range v.Sheets {
		fmt.Fprintf(&list, "- %s: %s, %s (sheet_id %d)\n", s.Title, content.Count(s.Rows, "row", "rows"), content.Count(s.Columns, "column", "columns"), s.ID)
	}
	out.Value = v
	out.Text = fmt.Sprintf("Spreadsheet %s in %s. %s\n%s", v.SpreadsheetID, account.Email, content.Notice, content.Fence(list.String()))
	return out, nil
}

type batchInput struct {
	SpreadsheetID string           `json:"spreadsheet_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Requests      []map[string]any `json:"requests" jsonschema:"addSheet, duplicateSheet, updateSheetProperties, appendDimension, insertDimension, autoResizeDimensions, updateDimensionProperties, repeatCell (userEnteredFormat), updateBorders, unmergeCells, sortRange, setBasicFilter, clearBasicFilter, addNamedRange" limit:"maxitems=50"`
	Account       string           `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type batchOutput struct {
	Account       googleapi.Account `json:"account"`
	SpreadsheetID string            `json:"spreadsheet_id"`
	Done          int               `json:"done"`
	AddedSheets   []int64           `json:"added_sheet_ids"`
	URL           string            `json:"url"`
}

// kinds of requests that are let through: each can be undone by another, and none
// writes cells (which sheets_write does with its checks), deletes, protects or
// fetches.
var kinds = []string{
	"addSheet", "duplicateSheet", "updateSheetProperties", "appendDimension", "insertDimension", "autoResizeDimensions", "updateDimensionProperties", "repeatCell",
	"updateBorders", "unmergeCells", "sortRange", "setBasicFilter", "clearBasicFilter", "addNamedRange",
}

const (
	maxRequest   = 20_000 // bytes of one request
	maxDimension = 10_000 // rows or columns that one request adds
)

func (p *product) batch(ctx context.Context, in batchInput) (tool.Output[batchOutput], error) {
	var out tool.Output[batchOutput]
	id, err := fileid.Parse("spreadsheet_id", in.SpreadsheetID)
	if err != nil {
		return out, err
	}
	if len(in.Requests) == 0 {
		return out, tool.Invalid("Give requests.")
	}
	var requests []*sheets.Request
	for i, r := range in.Requests {
		one, err := request(r)
		if err != nil {
			return out, tool.Invalid("requests[%d]: %s", i, err)
		}
		requests = append(requests, one)
	}
	s, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if err := p.api.MayWrite(ctx, account, id); err != nil {
		return out, err
	}
	reply, err := s.BatchUpdate(id, &sheets.BatchUpdateSpreadsheetRequest{Requests: requests}).
		Fields("replies(addSheet/properties/sheetId,duplicateSheet/properties/sheetId)").Context(ctx).Do()
	if err != nil {
		return out, tool.Doubtful(googleapi.Error("changing spreadsheet", err), "Google did not answer: the changes may have been made.", "Look with sheets_info before you try again.")
	}
	v := batchOutput{Account: account, SpreadsheetID: id, Done: len(requests), AddedSheets: []int64{}, URL: Address(id)}
	for _, r := range reply.Replies {
		switch {
		case r.AddSheet != nil && r.AddSheet.Properties != nil:
			v.AddedSheets = append(v.AddedSheets, r.AddSheet.Properties.SheetId)
		case r.DuplicateSheet != nil && r.DuplicateSheet.Properties != nil:
			v.AddedSheets = append(v.AddedSheets, r.DuplicateSheet.Properties.SheetId)
		}
	}
	out.Value = v
	out.Text = fmt.Sprintf("Made %s to spreadsheet %s in %s. %s", content.Count(v.Done, "change", "changes"), id, account.Email, v.URL)
	return out, nil
}

// request reads one request: of one kind that is let through, with members that
// the Sheets API knows.
func request(raw map[string]any) (*sheets.Request, error) {
	if len(raw) != 1 {
		return nil, fmt.Errorf("each request has exactly one kind")
	}
	for kind := range raw {
		if !slices.Contains(kinds, kind) {
			return nil, fmt.Errorf("only %s are possible", strings.Join(kinds, ", "))
		}
	}
	if fetches(raw) { // the condition of a filter can be a formula
		return nil, fmt.Errorf("formulas that fetch from other places are not written")
	}
	b, err := json.Marshal(raw)
	if err != nil || len(b) > maxRequest {
		return nil, fmt.Errorf("it is too large")
	}
	var r sheets.Request
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("it does not have the form of the Sheets API")
	}
	switch {
	case r.RepeatCell != nil:
		// Only one mask is taken, so that none can name a value (a formula) too.
		if c := r.RepeatCell.Cell; r.RepeatCell.Fields != "userEnteredFormat" || c == nil || c.UserEnteredValue != nil {
			return nil, fmt.Errorf("repeatCell changes formats only: its fields must be userEnteredFormat")
		}
	case r.AppendDimension != nil && r.AppendDimension.Length > maxDimension,
		r.InsertDimension != nil && r.InsertDimension.Range != nil && r.InsertDimension.Range.EndIndex-r.InsertDimension.Range.StartIndex > maxDimension:
		return nil, fmt.Errorf("at most %d rows or columns at once", maxDimension)
	case r.UpdateSheetProperties != nil:
		for field := range strings.SplitSeq(r.UpdateSheetProperties.Fields, ",") {
			if !slices.Contains(settable, strings.TrimSpace(field)) { // a smaller grid would delete cells
				return nil, fmt.Errorf("only %s can be set", strings.Join(settable, ", "))
			}
		}
	}
	return &r, nil
}

// fetches reports whether a text in a request would be a formula that fetches.
func fetches(v any) bool {
	switch v := v.(type) {
	case string:
		return Fetches(v)
	case map[string]any:
		for _, inside := range v {
			if fetches(inside) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, fetches)
	}
	return false
}

// settable are the properties of a sheet that can be changed.
var settable = []string{"title", "index", "hidden", "tabColorStyle", "gridProperties.frozenRowCount", "gridProperties.frozenColumnCount", "gridProperties.hideGridlines"}
