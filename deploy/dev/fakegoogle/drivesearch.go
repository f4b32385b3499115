package fakegoogle

import (
	"slices"
	"strings"
	"time"
)

// splitTerms cuts at " and " outside quotes.
func splitTerms(q string) []string {
	var out []string
	var quoted, escaped bool
	start := 0
	for i := 0; i < len(q); i++ {
		switch {
		case escaped:
			escaped = false
		case q[i] == '\\':
			escaped = true
		case q[i] == '\'':
			quoted = !quoted
		case !quoted && strings.HasPrefix(q[i:], " and "):
			out, start = append(out, strings.TrimSpace(q[start:i])), i+5
		}
	}
	if rest := strings.TrimSpace(q[start:]); rest != "" {
		out = append(out, rest)
	}
	return out
}

func (f *file) term(term string) (bool, error) {
	term = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(term, "("), ")"))
	first, last := strings.Index(term, "'"), strings.LastIndex(term, "'")
	if first < 0 {
		switch strings.Join(strings.Fields(term), " ") {
		case "trashed = true", "trashed=true":
			return f.Trashed, nil
		case "trashed = false", "trashed=false":
			return !f.Trashed, nil
		}
		return false, badRequest("Invalid Value")
	}
	if first == last {
		return false, badRequest("Invalid Value")
	}
	value := strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(term[first+1 : last])
	switch op := strings.Join(strings.Fields(term[:first]+" ? "+term[last+1:]), " "); op {
	case "name contains ?":
		return strings.Contains(lower(f.Name), lower(value)), nil
	case "name = ?":
		return f.Name == value, nil
	case "fullText contains ?":
		return strings.Contains(lower(f.Name, f.text()), lower(strings.Trim(value, `"`))), nil
	case "mimeType = ?":
		return f.MimeType == value, nil
	case "mimeType != ?":
		return f.MimeType != value, nil
	case "? in parents":
		return slices.Contains(f.Parents, value), nil
	case "modifiedTime > ?", "modifiedTime >= ?", "modifiedTime < ?":
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return false, badRequest("Invalid Value")
		}
		if strings.Contains(op, "<") {
			return f.Modified.Before(at), nil
		}
		return f.Modified.After(at), nil
	}
	return false, badRequest("Invalid Value")
}
