package commandline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

const maxFile = 1 << 20

// ReadSettings reads a JSON file of settings: one object. It returns the file's text
// again for who parses it, and its keys in order; one that is given twice is there
// twice.
func ReadSettings(r io.Reader) (text []byte, keys []string, err error) {
	if text, err = io.ReadAll(io.LimitReader(r, maxFile+1)); err != nil {
		return nil, nil, err
	}
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, nil, err
	}
	if values == nil {
		return nil, nil, errors.New("it is null")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err == nil {
			var value json.RawMessage
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, key.(string))
	}
	slices.Sort(keys)
	return text, keys, nil
}

// Textual reports whether a value of such a file may be given to a setting of a
// type: to a text a text, to a list of texts texts. The parser's own error would
// repeat another value, whatever is in it.
func Textual(value any, setting reflect.Type) bool {
	_, text := value.(string)
	switch {
	case value == nil || text:
		return true
	case setting.Kind() == reflect.String:
		return false
	case setting.Kind() != reflect.Slice || setting.Elem().Kind() != reflect.String:
		return true
	}
	list, ok := value.([]any)
	return ok && !slices.ContainsFunc(list, func(v any) bool { _, text := v.(string); return !text })
}

// ErrNotTextual is the error of one that is not Textual.
var ErrNotTextual = errors.New("the file of --config must give it as a text in quotes, or a list of them")

// UnknownKeys adds a problem for each key of a file that is none of the flags'
// names in snake_case or camelCase: what was meant by it would not happen; and for
// each flag that has two: one would not.
func (p *Problems) UnknownKeys(keys, flags []string) {
	known := make([]string, len(flags))
	taken, given := map[string]string{}, map[string]string{}
	for i, flag := range flags {
		known[i] = strings.ReplaceAll(flag, "-", "_")
		taken[known[i]], taken[camelCase(flag)] = flag, flag
	}
	for i, key := range keys {
		if flag := taken[key]; flag != "" {
			switch before := given[flag]; before {
			case "":
			case key:
				p.Addf("the file of --config gives %q twice: remove one", key)
			default:
				p.Addf("the file of --config gives %q and %q, which are the same setting: remove one", before, key)
			}
			given[flag] = key
			continue
		}
		if i > 0 && keys[i-1] == key {
			continue
		}
		if near := nearest(key, known); near != "" {
			p.Addf("the file of --config has an unknown key %q: did you mean %q?", shortened(key), near)
		} else {
			p.Addf("the file of --config has an unknown key %q: remove it, or see --help for the settings", shortened(key))
		}
	}
}

func shortened(key string) string {
	const most = 60
	if r := []rune(key); len(r) > most {
		return string(r[:most]) + "…"
	}
	return key
}

func camelCase(flag string) string {
	parts := strings.Split(flag, "-")
	for i := 1; i < len(parts); i++ {
		if parts[i] != "" {
			parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
		}
	}
	return strings.Join(parts, "")
}

// nearest is the name that a key was most likely meant to be, "" if none is near:
// at most a third of it is wrong. Case and the kind of dash do not count.
func nearest(key string, names []string) string {
	if len(key) > 100 {
		return ""
	}
	bare := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	found, least := "", max(1, len(bare(key))/3)+1
	for _, name := range names {
		if d := distance(bare(key), bare(name)); d < least {
			found, least = name, d
		}
	}
	return found
}

// distance is how many bytes must be added, left out or changed (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
