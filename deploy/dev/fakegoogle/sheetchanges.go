package fakegoogle

import (
	"encoding/json"
	"strconv"
	"strings"
)

// changeSheets does one request of batchUpdate: adding, renaming and freezing
// sheets, and adding rows or columns. Formats change nothing that the stand-in
// knows.
func (f *file) changeSheets(request map[string]json.RawMessage) (map[string]any, error) {
	type properties struct {
		SheetID        int
		Title          string
		GridProperties struct{ RowCount, ColumnCount, FrozenRowCount int }
	}
	byID := func(id int) (*sheet, error) {
		for _, s := range f.sheets() {
			if s.id == id {
				return s, nil
			}
		}
		return nil, badRequest("Invalid requests[0]: No grid with id: " + strconv.Itoa(id))
	}
	for kind, raw := range request {
		var in struct {
			Properties properties
			Fields     string
			SheetID    int
			Dimension  string
			Length     int
		}
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, badRequest("Invalid JSON payload received.")
		}
		switch kind {
		case "addSheet":
			for _, s := range f.sheets() {
				if s.title == in.Properties.Title {
					return nil, badRequest("Invalid requests[0].addSheet: A sheet with the name \"" + s.title + "\" already exists.")
				}
			}
			s := &sheet{id: len(f.book) + 1000, title: in.Properties.Title, rows: 1000, columns: 26}
			f.book = append(f.book, s)
			return map[string]any{"addSheet": s.view()}, nil
		case "updateSheetProperties":
			s, err := byID(in.Properties.SheetID)
			if err != nil {
				return nil, err
			}
			for field := range strings.SplitSeq(in.Fields, ",") {
				switch field {
				case "title":
					s.title = in.Properties.Title
				case "gridProperties.frozenRowCount":
					s.frozen = in.Properties.GridProperties.FrozenRowCount
				default:
					return nil, badRequest("Invalid requests[0].updateSheetProperties: fields")
				}
			}
		case "appendDimension":
			s, err := byID(in.SheetID)
			if err != nil {
				return nil, err
			}
			if in.Dimension == "ROWS" {
				s.rows += in.Length
			} else {
				s.columns += in.Length
			}
		case "repeatCell", "autoResizeDimensions", "updateBorders", "mergeCells", "unmergeCells", "setBasicFilter":
		default:
			return nil, badRequest("The stand-in for Google does not know " + kind + ".")
		}
	}
	return map[string]any{}, nil
}
