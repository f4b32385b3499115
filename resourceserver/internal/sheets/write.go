package sheets

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/api/sheets/v4"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/fileid"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const (
	maxCells   = 20_000 // of one call
	maxWritten = 50_000 // characters of a cell (Google's limit)
)

type writeInput struct {
	SpreadsheetID string  `json:"spreadsheet_id" jsonschema:"id or address" limit:"minlen=1,maxlen=500"`
	Range         string  `json:"range" jsonschema:"A1 notation, or the first cell" limit:"minlen=1,maxlen=300"`
	Values        [][]any `json:"values" jsonschema:"rows" limit:"maxitems=5000"`
	Mode          string  `json:"mode,omitempty" enum:"overwrite,append" jsonschema:"default overwrite"`
	Input         string  `json:"input,omitempty" enum:"raw,user_entered" jsonschema:"default raw: = stays text"`
	Account       string  `json:"account,omitempty" jsonschema:"handle or alias of a linked account" limit:"maxlen=64"`
}

type writeOutput struct {
	Account       googleapi.Account `json:"account"`
	SpreadsheetID string            `json:"spreadsheet_id"`
	Range         string            `json:"range"` // that was written
	Cells         int64             `json:"cells"`
	URL           string            `json:"url"`
}

func (p *product) write(ctx context.Context, in writeInput) (tool.Output[writeOutput], error) {
	var out tool.Output[writeOutput]
	id, err := fileid.Parse("spreadsheet_id", in.SpreadsheetID)
	if err != nil {
		return out, err
	}
	width, err := in.check()
	if err != nil {
		return out, err
	}
	s, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	if err := p.api.MayWrite(ctx, account, id); err != nil {
		return out, err
	}
	b, err := readBook(ctx, s, id)
	if err != nil {
		return out, err
	}
	g, err := b.grid(in.Range)
	if err != nil {
		return out, err
	}
	v := writeOutput{Account: account, SpreadsheetID: b.ID, URL: Address(b.ID)}
	option, cells := "RAW", &sheets.ValueRange{Values: in.Values}
	if in.Input == "user_entered" {
		option = "USER_ENTERED"
	}
	var done *sheets.UpdateValuesResponse
	if in.Mode == "append" {
		reply, err := s.Values.Append(id, g.String(), cells).ValueInputOption(option).InsertDataOption("INSERT_ROWS").Fields("updates(updatedRange,updatedCells)").Context(ctx).Do()
		if err != nil {
			return out, appended(googleapi.Error("appending rows", err))
		}
		done = reply.Updates
	} else {
		one := g.column+1 == g.columnEnd && g.row+1 == g.rowEnd // a cell is where writing begins
		if !one && (g.rowEnd-g.row < int64(len(in.Values)) || g.columnEnd-g.column < int64(width)) {
			return out, tool.Invalid("This range is too small for %s of up to %s: give its first cell or a larger one.", content.Count(len(in.Values), "row", "rows"), content.Count(width, "value", "values"))
		}
		g.rowEnd, g.columnEnd = g.row+int64(len(in.Values)), g.column+int64(width)
		// The same cells written twice are as written once.
		done, err = s.Values.Update(id, g.String(), cells).ValueInputOption(option).Fields("updatedRange,updatedCells").Context(googleapi.Idempotent(ctx)).Do()
		if err != nil {
			return out, googleapi.Error("writing cells", err)
		}
	}
	if done != nil {
		v.Range, v.Cells = done.UpdatedRange, done.UpdatedCells
	}
	out.Value = v
	out.Text = fmt.Sprintf("Wrote %s of spreadsheet %s in %s. %s", content.Count(v.Cells, "cell", "cells"), v.SpreadsheetID, account.Email, v.URL)
	return out, nil
}

// appended says so when nobody can know whether the rows were appended.
func appended(err error) error {
	return tool.Doubtful(err, "Google did not answer: the rows may have been appended.", "Look with sheets_read before you append again.")
}

// check bounds the values and returns the width of the widest row.
func (in writeInput) check() (width int, err error) {
	n := 0
	for _, row := range in.Values {
		width = max(width, len(row))
		if n += len(row); n > maxCells {
			return 0, tool.Invalid("At most %d cells can be written at once.", maxCells)
		}
		for _, v := range row {
			switch v := v.(type) {
			case nil, bool, float64:
			case string:
				if len([]rune(v)) > maxWritten {
					return 0, tool.Invalid("A cell holds at most %d characters.", maxWritten)
				}
				if in.Input == "user_entered" && Fetches(v) {
					return 0, &tool.Error{Code: tool.CodePolicy, Message: "Formulas that fetch from other places (IMPORT…, IMAGE, GOOGLEFINANCE and the like) are not written: they could send what the sheet holds away.", NextAction: "Tell the person; they can enter it themselves."}
				}
			default:
				return 0, tool.Invalid("values must be rows of text, numbers, true, false or null.")
			}
		}
	}
	if width == 0 {
		return 0, tool.Invalid("values has nothing to write.")
	}
	return width, nil
}

// fetching are the functions that reach beyond the spreadsheet, or run what does.
var fetching = regexp.MustCompile(`(?i)\b(IMPORT[A-Z]*|IMAGE|GOOGLEFINANCE|GOOGLETRANSLATE|DETECTLANGUAGE|AI|GEMINI|CALL|WEBSERVICE|RTD|DDE|ENCODEURL|HYPERLINK)\s*\(`)

// named are those of them whose names mean nothing else, where one is handed on to be
// called by another, as functions can be (LET, MAP and their like).
var (
	named = regexp.MustCompile(`(?i)\b(IMPORT(DATA|XML|HTML|FEED|RANGE)|IMAGE|GOOGLEFINANCE|GOOGLETRANSLATE|WEBSERVICE|HYPERLINK)\b\s*([^\s!(]|$)`)
	texts = regexp.MustCompile(`"[^"]*"`)
)

// Fetches reports whether a value would be a formula that reaches beyond its
// spreadsheet. Sheets takes =, + and - at a value's beginning for a formula, of any
// width. ENCODEURL and HYPERLINK build the addresses by which a click would send cells.
func Fetches(v string) bool {
	v = strings.TrimSpace(content.Clean(strings.Map(func(r rune) rune {
		if r >= 0xff01 && r <= 0xff5e { // fullwidth forms of ASCII
			return r - 0xfee0
		}
		return r
	}, v)))
	return v != "" && strings.IndexByte("=+-@", v[0]) >= 0 && (fetching.MatchString(v) || named.MatchString(texts.ReplaceAllString(v, `""`)))
}
