package sheets

// A1 opens the reading of ranges to tests: as a range of a sheet of 100 rows and
// 26 columns, "" if it is none.
func A1(s string, titles ...string) string {
	g, ok := parseA1(s, titles)
	if !ok {
		return ""
	}
	if g, ok = g.within(100, 26); !ok {
		return ""
	}
	return g.String()
}
