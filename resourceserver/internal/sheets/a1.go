package sheets

import (
	"strconv"
	"strings"
)

// grid is a rectangle of a sheet, counted from 0, ends exclusive; an end of -1 is
// open.
type grid struct {
	sheet                          string // "" for the first
	row, column, rowEnd, columnEnd int64
}

const (
	maxRow    = 10_000_000 // more cells than a spreadsheet has
	maxColumn = 18_278     // ZZZ
)

// parseA1 reads A1 notation (Sheets API, "Cell"): 'My sheet'!A1:C3, A1, A:C, 2:5,
// or the name of a sheet. sheets are those that there are: a name wins over a
// cell.
func parseA1(s string, sheets []string) (grid, bool) {
	out := grid{rowEnd: -1, columnEnd: -1}
	s = strings.TrimSpace(s)
	name, rest, found := s, "", false
	if strings.HasPrefix(s, "'") {
		end := 1
		for end < len(s) {
			if s[end] == '\'' {
				if end+1 == len(s) || s[end+1] != '\'' {
					break
				}
				end++
			}
			end++
		}
		if end >= len(s) {
			return out, false
		}
		name, rest = strings.ReplaceAll(s[1:end], "''", "'"), s[end+1:]
		if rest != "" {
			if rest, found = strings.CutPrefix(rest, "!"); !found {
				return out, false
			}
		}
	} else if i := strings.LastIndexByte(s, '!'); i >= 0 {
		name, rest, found = s[:i], s[i+1:], true
	}
	known := false
	for _, have := range sheets {
		known = known || have == name
	}
	switch {
	case found && (!known || rest == ""):
		return out, false
	case known:
		out.sheet = name
		if rest == "" {
			return out, true
		}
	case strings.HasPrefix(s, "'"):
		return out, false
	default:
		rest = s
	}
	first, last, ranged := strings.Cut(rest, ":")
	row, column, ok := corner(first)
	rowEnd, columnEnd := row, column
	if ranged && ok {
		rowEnd, columnEnd, ok = corner(last)
	} else if row < 0 || column < 0 {
		return out, false
	}
	if !ok || row >= 0 && rowEnd >= 0 && rowEnd < row || column >= 0 && columnEnd >= 0 && columnEnd < column {
		return out, false
	}
	// Open ends are columns (A:C) or rows (2:5), or a corner with an open side (A2:C).
	out.row, out.column = max(row, 0), max(column, 0)
	if rowEnd >= 0 {
		out.rowEnd = rowEnd + 1
	}
	if columnEnd >= 0 {
		out.columnEnd = columnEnd + 1
	}
	return out, true
}

// corner reads B3, B or 3; what is missing is -1.
func corner(s string) (row, column int64, ok bool) {
	s = strings.ReplaceAll(strings.ToUpper(s), "$", "")
	letters := strings.TrimRight(s, "0123456789")
	row, column = -1, -1
	for _, c := range letters {
		if c < 'A' || c > 'Z' || len(letters) > 3 {
			return 0, 0, false
		}
		column = (column+1)*26 + int64(c-'A')
	}
	if digits := s[len(letters):]; digits != "" {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 1 || n > maxRow {
			return 0, 0, false
		}
		row = n - 1
	}
	return row, column, s != "" && column < maxColumn
}

// within cuts a rectangle to a sheet's size; false if nothing is left.
func (g grid) within(rows, columns int64) (grid, bool) {
	if g.rowEnd < 0 || g.rowEnd > rows {
		g.rowEnd = rows
	}
	if g.columnEnd < 0 || g.columnEnd > columns {
		g.columnEnd = columns
	}
	return g, g.row < g.rowEnd && g.column < g.columnEnd
}

// String is the A1 notation of a closed rectangle.
func (g grid) String() string {
	return "'" + strings.ReplaceAll(g.sheet, "'", "''") + "'!" + cellName(g.row, g.column) + ":" + cellName(g.rowEnd-1, g.columnEnd-1)
}

func cellName(row, column int64) string {
	letters := ""
	for column++; column > 0; column = (column - 1) / 26 {
		letters = string(rune('A'+(column-1)%26)) + letters
	}
	return letters + strconv.FormatInt(row+1, 10)
}
