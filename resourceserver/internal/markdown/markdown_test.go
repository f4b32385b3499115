package markdown_test

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"latchkey/resourceserver/internal/markdown"
	"latchkey/resourceserver/internal/markdown/generate"
)

// TestParse: what documents are made of, and what has no place in them.
func TestParse(t *testing.T) {
	t.Parallel()
	type s = markdown.Span
	for source, want := range map[string][]markdown.Block{
		"# A **b** c": {{Kind: markdown.Heading, Level: 1, Spans: []s{{Text: "A "}, {Text: "b", Bold: true}, {Text: " c"}}}},
		"- a\n  1. b\n- c\n\n  d\n": {
			{Kind: markdown.Item, Spans: []s{{Text: "a"}}}, {Kind: markdown.Item, Level: 1, Ordered: true, Spans: []s{{Text: "b"}}},
			{Kind: markdown.Item, Spans: []s{{Text: "c\nd"}}},
		},
		"a\\\nb  \nc\nd":     {{Spans: []s{{Text: "a\nb\nc d"}}}},
		"> q\n>\n> r":        {{Quote: true, Spans: []s{{Text: "q"}}}, {Quote: true, Spans: []s{{Text: "r"}}}},
		"```go\nx\n\ty\n```": {{Kind: markdown.Code, Text: "x\n\ty"}},
		"| a | b |\n|---|---|\n| 1 \\| 2 | *x* |": {{Kind: markdown.Table, Rows: [][][]s{{{{Text: "a"}}, {{Text: "b"}}}, {{{Text: "1 | 2"}}, {{Text: "x", Italic: true}}}}}},
		"a[^1]\n\n[^1]: note":                     {{Spans: []s{{Text: "a"}, {Note: 1}}}, {Kind: markdown.Note, Level: 1, Spans: []s{{Text: "note"}}}},
		"---":                                     {{Kind: markdown.Rule}},
		"![alt](https://x.test/i.png) ![](https://x.test/j.png)":                             {{Spans: []s{{Text: "alt", Link: "https://x.test/i.png"}, {Text: " "}, {Text: "image", Link: "https://x.test/j.png"}}}},
		"[a](javascript:alert) [b](https://u@x.test) [c](/etc/passwd) [d](data:text/html,x)": {{Spans: []s{{Text: "a b c d"}}}},
		"<script>x</script>":            {{Spans: []s{{Text: "<script>x</script>"}}}},
		"a <b>c</b> &amp; &lt; \\&amp;": {{Spans: []s{{Text: "a <b>c</b> & < &amp;"}}}},
		"`a`` b`":                       {{Spans: []s{{Text: "a`` b", Code: true}}}},
		"<https://x.test/?a=1&b=2>":     {{Spans: []s{{Text: "https://x.test/?a=1&b=2", Link: "https://x.test/?a=1&b=2"}}}},
		"":                              nil,
	} {
		if got := markdown.Parse(source); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n got %+v\nwant %+v", source, got, want)
		}
	}
}

// TestRoundTrip: of generated documents, every block is read as it was written.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 1_000 {
		want := generate.Blocks(random)
		source := markdown.Render(want)
		got := markdown.Parse(source)
		if plain(got) != plain(want) {
			a, b := strings.Split(plain(got), "\n"), strings.Split(plain(want), "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Fatalf("%s\n got %q\nwant %q", source, a[i], b[i])
				}
			}
			t.Fatalf("%s\n%d blocks for %d", source, len(got), len(want))
		}
		// What could be expressed once can be again, the same.
		if again := markdown.Render(got); again != source {
			t.Fatalf("%s\nagain:\n%s", source, again)
		}
	}
}

// plain is what must survive: kinds, levels, texts, links and cells; emphasis may
// be lost where Markdown has no way to write it.
func plain(blocks []markdown.Block) string {
	var b strings.Builder
	for _, x := range blocks {
		b.WriteString(strings.Join([]string{string(rune('a' + x.Kind)), string(rune('0' + x.Level)), x.Text, markdown.Plain(x.Spans)}, "|"))
		if x.Ordered {
			b.WriteString("|ordered")
		}
		if x.Quote {
			b.WriteString("|quote")
		}
		for _, s := range x.Spans {
			if s.Link != "" {
				b.WriteString("|" + s.Link)
			}
		}
		for _, row := range x.Rows {
			for _, cell := range row {
				b.WriteString("|" + markdown.Plain(cell))
			}
			b.WriteString("|\n")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestDeep: nesting costs neither the stack nor quadratic output.
func TestDeep(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		strings.Repeat("> ", 50_000) + "x", strings.Repeat("- ", 50_000) + "x", strings.Repeat("1. ", 30_000), strings.Repeat("[", 100_000), strings.Repeat("[a](", 25_000),
		strings.Repeat("*a _b ", 5_000), strings.Repeat("`", 100_001), strings.Repeat(strings.Repeat("> ", 59)+"x\n", 500),
	} {
		if out := markdown.Render(markdown.Parse(source)); len(out) > 4*len(source)+100 {
			t.Errorf("%.20s: %d bytes become %d", source, len(source), len(out))
		}
	}
}

// TestTame: what the parser would take quadratic time for (25,000 of the first: ten
// seconds, by everybody who may write a document) stays plain; what people write is
// parsed, however long it is.
func TestTame(t *testing.T) {
	t.Parallel()
	emphasis := func(source string) (n int) {
		for _, b := range markdown.Parse(source) {
			for _, s := range b.Spans {
				if s.Bold || s.Italic || s.Strike || s.Link != "" {
					n++
				}
			}
		}
		return n
	}
	for _, source := range []string{strings.Repeat("*a_ ", 25_000), strings.Repeat("**a ", 25_000), strings.Repeat("~~a ~", 20_000), strings.Repeat("a\n", 50_000) + "**b**", strings.Repeat("> *a_\n", 12_000)} {
		if blocks := markdown.Parse(source); len(blocks) != 1 || emphasis(source) != 0 {
			t.Errorf("%.20s: %d blocks, %d with emphasis", source, len(blocks), emphasis(source))
		}
	}
	for source, want := range map[string]int{
		strings.Repeat("- **a**: *b*\n", 2_000): 4_000, strings.Repeat("**a**\n\n", 5_000): 5_000, strings.Repeat("_", 90_000) + "\n\n**a**": 1, strings.Repeat("a\n", 9_000) + "\n**b**": 1,
	} {
		if n := emphasis(source); n != want {
			t.Errorf("%.20s: %d spans with emphasis, want %d", source, n, want)
		}
	}
}

// TestTidyBreaks: line breaks take no quadratic time either, of which a document of
// others has as many as it likes: no text is made anew for each.
func TestTidyBreaks(t *testing.T) { // not parallel, which AllocsPerRun wants
	spans := []markdown.Span{{Text: strings.Repeat("a \n", 5_000)}}
	if got := markdown.Tidy(spans); len(got) != 1 || strings.Count(got[0].Text, "a\n") != 4_999 {
		t.Errorf("%d spans", len(got))
	}
	if n := testing.AllocsPerRun(1, func() { markdown.Tidy(spans) }); n > 100 {
		t.Errorf("%.0f allocations", n)
	}
}

func FuzzMarkdown(f *testing.F) {
	for _, s := range []string{"# a\n\n- b\n  1. c\n", "| a | b |\n|--|--|\n| `x` | [y](http://z.test) |", "a[^1]\n\n[^1]: b", "> a\n> b\n\n***a** b*", "<b>&amp;\\*", "```\n~~~\n```"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 5_000 {
			return
		}
		once := markdown.Render(markdown.Parse(source))
		if strings.Contains(once, "](javascript:") && !strings.Contains(source, "](javascript:") {
			t.Errorf("%q: %q", source, once)
		}
		markdown.Parse(once)
	})
}
