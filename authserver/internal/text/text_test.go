package text_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"latchkey/authserver/internal/text"
)

// TestBadMember: RFC 8259 §8.2, §6: what PostgreSQL refuses is found and named, and nothing else.
func TestBadMember(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{ // "": good
		`{"a": "b", "c": [1, -2.5e3, true, null, {"d": "\u00e9 \ud83d\ude00 \\u0000 \ufffd é ` + "\ufffd" + `"}], "": {}}`: "",
		`{"a": "\u0000"}`:                           "a",
		`{"a": {"b": ["x", {"c": "x\u0000"}]}}`:     "a.b[1].c",
		`{"a": [[], [1], ["\ud800"]]}`:              "a[2][0]",
		`{"a": "\udc00"}`:                           "a",
		`{"a": "\ud800\ud800\udc00"}`:               "a",
		`{"a": "\ud800x\udc00"}`:                    "a",
		`{"a": "\\\u0000"}`:                         "a",
		"{\"a\": \"\xff\"}":                         "a",
		"{\"a\": \"\xed\xa0\x80\"}":                 "a",
		`{"a": 1, "b\u0000": 1}`:                    "b",
		"{\"a\": {\"\xff\": 1}}":                    "a.\xff",
		`{"a": 1e400}`:                              "a",
		`{"a": [0, 1e-40000]}`:                      "a[1]",
		`{"a": 1e-99999999999999999999}`:            "a",
		`{"a": 0.` + strings.Repeat("1", 200) + `}`: "a",
		`["x", "\u0000"]`:                           "[1]",
		`{"é` + "\\u0000" + `": 1}`:                 "?",
		`{"a": "\u0000`:                             "", // no JSON: somebody else says so
		`{"a": "\u00`:                               "",
		``:                                          "",
	} {
		got, found := text.BadMember([]byte(body))
		switch want {
		case "?": // a name of which nothing is printable
			if !found || got != "" {
				t.Errorf("%s: %q", body, got)
			}
		default:
			if found != (want != "") || got != text.Printable(want) {
				t.Errorf("%s: %q, want %q", body, got, want)
			}
		}
	}
}

// TestBadParameter: names and values of forms.
func TestBadParameter(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{"a=b&c=%C3%A9": "", "a=%00": "a", "a=b&a=%ff": "a", "n%00=1": "n"} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got, found := text.BadParameter(values); got != want || found != (want != "") {
			t.Errorf("%s: %q %v", query, got, found)
		}
	}
}

// FuzzBadMember: of JSON in which nothing is found, every text is text; nothing panics.
func FuzzBadMember(f *testing.F) {
	for _, s := range []string{`{"a":["\u0000",1e5]}`, `"\ud83d\ude00"`, `{"\\":"\\u0000"}`, "\"\xff\"", `[[{}]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		path, found := text.BadMember(body)
		if !utf8.ValidString(path) || strings.ContainsAny(path, "\"\\\x00") {
			t.Errorf("path %q", path)
		}
		var value any
		if json.Unmarshal(body, &value) != nil || found {
			return
		}
		var walk func(any)
		walk = func(v any) {
			switch v := v.(type) {
			case string:
				if !text.Valid(v) {
					t.Errorf("%q in %q", v, body)
				}
			case []any:
				for _, x := range v {
					walk(x)
				}
			case map[string]any:
				for name, x := range v {
					walk(name)
					walk(x)
				}
			}
		}
		walk(value)
		if !utf8.Valid(body) {
			t.Errorf("not UTF-8: %q", body)
		}
	})
}
