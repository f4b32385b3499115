package content_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"latchkey/resourceserver/internal/content"
)

func TestHTML(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][2]string{
		"paragraphs":       {"<p>One</p><p>Two<br>Three</p>", "One\n\nTwo\nThree"},
		"white space":      {"<div>  a \n b</div> <div>c</div>", "a b\nc"},
		"inline":           {"a<b>b</b> <i>c</i>", "ab c"},
		"list":             {"<ul><li>x<li>y</ul>", "- x\n- y"},
		"table":            {"<table><tr><td>a<td>b<tr><td>c<td>d</table>", "a b\nc d"},
		"pre":              {"<pre>a\n  b</pre>", "a\n  b"},
		"entities":         {"a &amp; b&nbsp;&lt;c&gt;", "a & b <c>"},
		"link":             {`<a href="https://x.test/a">here</a>`, "here (https://x.test/a)"},
		"link that shows":  {`<a href="https://x.test/">https://x.test/</a>`, "https://x.test/"},
		"script link":      {`<a href="javascript:alert(1)">here</a>`, "here"},
		"script and style": {"<style>p{}</style><script>alert(1)</script>a<title>t</title>", "a"},
		"hidden attribute": {"<div hidden>evil</div>a", "a"},
		"display none":     {`<div style="color:red; Display : None">evil</div>a`, "a"},
		"font size zero":   {`<span style="font-size:0px">evil</span>a`, "a"},
		"not quite hidden": {`<span style="font-size:0.8em">b</span>`, "b"},
		"comment":          {"<!-- evil -->a", "a"},
		"zero width":       {"a\u200bb\u2060c", "abc"},
		"tag characters":   {"a\U000E0069\U000E0067n", "an"},
		"unclosed":         {"<p>a<div>b", "a\n\nb"},
		"no HTML":          {"a < b", "a < b"},
	} {
		if got, _ := content.HTML(c[0]); got != c[1] {
			t.Errorf("%s: %q, want %q", name, got, c[1])
		}
	}
	if got, _ := content.HTML(strings.Repeat("<div>", 100_000) + "deep"); !strings.Contains(got, "deep") {
		t.Errorf("deep nesting: %d bytes", len(got))
	}
}

// TestHidden: what is left out is not passed over in silence; the blocks that no
// reader ever sees in a mail are no concealment.
func TestHidden(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		`<div style="display:none">pay</div>a`:       true,
		`<p hidden>pay</p>a`:                         true,
		`<div style="display:none"> </div>a`:         false,
		`<style>p{}</style><p>a</p>`:                 false,
		`<blockquote><i hidden>pay</i></blockquote>`: true,
		"a": false,
	} {
		if _, hidden := content.HTML(in); hidden != want {
			t.Errorf("%s: %v", in, hidden)
		}
	}
}

// TestHiddenStyle: no other declaration takes the hiding back, and none that only
// looks like it hides.
func TestHiddenStyle(t *testing.T) {
	t.Parallel()
	for style, want := range map[string]bool{
		"display:none;--x:display:none.": true,
		"opacity:0!important":            true,
		"OPACITY : 0.0 ! important":      true,
		"opacity:0%":                     true,
		"opacity:-1":                     true,
		"color:red;visibility:collapse":  true,
		"display:/*;*/none":              true,
		"x:'/*';display:none":            true,
		"max-height:0px":                 true,
		`d\69splay:none`:                 true,
		`display:n\6f ne`:                true,
		`display:n\00006Fne`:             true,
		`di\splay:\none`:                 true,
		"font-size:1px":                  true,
		"font-size:.1em":                 false,
		"font:1px/1 Arial":               true,
		"font:12px/1 Arial":              false,
		"opacity:0.01":                   true,
		"opacity:5%":                     true,
		"clip:rect(0,0,0,0)":             true,
		"clip:rect(0 0 1px 1px)":         true,
		"clip:rect(0,90px,90px,0)":       false,
		"clip-path:inset(100%)":          true,
		"text-indent:-9999px":            true,
		"text-indent:-10px":              false,
		"position:absolute;left:-999em":  true,
		"left:-9999px":                   false,
		"height:0;overflow:hidden":       true,
		"height:0":                       false,
		"width:100%;overflow:hidden":     false,
		"color:transparent":              true,
		"color:rgba(0,0,0,0)":            true,
		"color:#fff":                     true,
		"color:#FEFEFE":                  true,
		"color:white;background:#000":    false,
		"color:rgb(255 255 255)":         true,
		"color:white;background:url(x)":  false,
		"background:black":               true,
		"background:black;color:#eee":    false,
		"color:#888":                     false,
		"color:nonsense":                 false,
		`color:w\68ite`:                  true,
		"font-size:0;font-size:0.8em":    true,
		"mso-hide:all":                   false, // Outlook alone hides it; these mailboxes are read in Gmail
		"display:none-such":              false,
		"--x:display:none":               false,
		"line-opacity:0":                 false,
		"opacity:0.5":                    false,
		"font-size:0.8em":                false,
		"max-height:10px":                false,
		"/*display:none":                 false,
		"display":                        false,
		"":                               false,
	} {
		if text, hidden := content.HTML(`a<i style="` + style + `">b</i>`); hidden != want || (text == "a") != want {
			t.Errorf("%s: %q %v", style, text, hidden)
		}
	}
}

// TestInvisible: text in the colour of what is behind it, which an element around it
// may have set; where a style sheet or a picture may be behind it, it is shown.
func TestInvisible(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`a<div style="background:#123456"><p><font color="123456">pay</font></p></div>`:                 "a",
		`<table bgcolor="#000"><tr><td>pay<td style="color:#fff">a</table>`:                             "a",
		`<table background="x.png"><tr><td style="color:white">a</table>`:                               "a",
		`<style>.b{background:#00f}</style><a class="b" style="color:white">a</a>`:                      "a",
		`<style>.b{background:#00f}</style><i style="color:white">pay</i>a`:                             "a",
		`<i style="color:white">pay <b style="color:black">a</b></i>`:                                   "a",
		`<blockquote style="color:#fff">pay</blockquote>a`:                                              "a",
		`<i style="color:white">` + strings.Repeat(`<i style="background:white">`, 300) + `pay</i></i>`: "",
	} {
		if got, hidden := content.HTML(in); got != want || hidden != strings.Contains(in, "pay") {
			t.Errorf("%.120s: %q %v", in, got, hidden)
		}
	}
}

// TestHiddenDeep: nesting too deep to parse does not show what is hidden.
func TestHiddenDeep(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<div>", 520)
	for name, c := range map[string]struct {
		in, want string
		hidden   bool
	}{
		"style":              {`<div style="display:none">pay</div>a`, "a", true},
		"attribute":          {`a<p hidden>pay`, "a", true},
		"within":             {`<div hidden><div>x</div><i>pay</i></div>a`, "a", true},
		"another end":        {`<div hidden></p></i>pay</div>a`, "a", true},
		"ignored end":        {`<div hidden><table><tr><td></div>pay`, "", true},
		"CDATA":              {`<svg><![CDATA[></svg>]]>pay`, "", true},
		"slash":              {`<div hidden/>pay</div>a`, "a", true},
		"script":             {`<script>"</div>"</script><style>p{}</style><title>t</title>a`, "a", false},
		"hidden in template": {`<template><i hidden>pay</i></template>a`, "a", true},
		"void":               {`<input hidden>a<br style="display:none">b`, "a b", false},
		"nothing":            {`a<div hidden> </div>`, "a", false},
	} {
		if got, hidden := content.HTML(deep + c.in); got != c.want || hidden != c.hidden {
			t.Errorf("%s: %q %v", name, got, hidden)
		}
	}
	if got, _ := content.HTML(strings.Repeat("<div hidden>", 2_000) + "pay" + strings.Repeat("</div>", 1_999) + "pay</div>a"); got != "a" {
		t.Errorf("hidden all the way: %q", got)
	}
}

// TestManyRoots: a mail of many documents is not parsed (120,000 of the tags took ten
// minutes), so that colours count for nothing; what is hidden otherwise stays so. Mails
// with some others in them are read as before.
func TestManyRoots(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"body", "HTML"} {
		var b strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&b, "<%s a%d=1>", name, i)
		}
		if got, hidden := content.HTML("a" + b.String() + "<p hidden>evil</p><p style='color:white'>b"); strings.Join(strings.Fields(got), "") != "ab" || !hidden {
			t.Errorf("%s: %d bytes, hidden %v", name, len(got), hidden)
		}
	}
	if got, hidden := content.HTML(strings.Repeat("<html><body bgcolor=white>a", 50) + "<p style='color:white'>evil"); strings.Contains(got, "evil") || !hidden {
		t.Errorf("%q, hidden %v", got, hidden)
	}
}

// TestQuotes: what was said before is marked, and folded when it is long.
func TestQuotes(t *testing.T) {
	t.Parallel()
	text, _ := content.HTML(`<p>Yes.</p><div class="gmail_quote">On Monday B wrote:<blockquote>one<br>two<blockquote>old</blockquote></blockquote></div>`)
	if text != "Yes.\n\n> On Monday B wrote:\n> > one\n> > two\n> > > old" {
		t.Errorf("%q", text)
	}
	if got := content.Fold("Yes.\n> 1\n> 2\n>\n> 4\nafter\n> short"); got != "Yes.\n[4 quoted lines left out]\nafter\n> short" {
		t.Errorf("%q", got)
	}
}

// TestClean: what nobody sees goes, and every kind of line end is one.
func TestClean(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][2]string{
		"line separator":          {"a\u2028b", "a\nb"},
		"paragraph separator":     {"a\u2029b", "a\nb"},
		"variation selectors":     {"a\ufe00\ufe0e\ufe0fb", "ab"},
		"more of them":            {"a\U000E0100\U000E01EFb", "ab"},
		"bytes on an emoji":       {"🙂\ufe0f\ufe0f\ufe00\U000E0150b", "🙂\ufe0fb"},
		"emoji":                   {"❤\ufe0f ok", "❤\ufe0f ok"},
		"interlinear annotation":  {"a\ufff9b\ufffac\ufffbd", "abcd"},
		"Mongolian selectors":     {"a\u180b\u180e\u180fb", "ab"},
		"tags":                    {"a\U000E0001\U000E0041\U000E007Fb", "ab"},
		"other default ignorable": {"a\U000E0080\U000E0FFFb", "ab"},
		"letters outside":         {"a\ufdffc\ufe10d", "a\ufdffc\ufe10d"},
		"joiners of letters":      {"می\u200cخواهم क\u094d\u200dष ❤\ufe0f\u200d🔥", "می\u200cخواهم क\u094d\u200dष ❤\ufe0f\u200d🔥"},
		"joiners as bits":         {"a\u200c\u200d\u200db\u200c ❤\u200d\u200c\u200d\u200b\u200c\u200b\u200dx", "ab ❤\u200dx"},
		"fillers":                 {"a\u115f\u1160\u3164\uffa0\u17b4\u17b5b", "ab"},
		"shorthand and music":     {"a\U0001BCA0\U0001D173\U0001D17Ab", "ab"},
	} {
		if got := content.Clean(c[0]); got != c[1] {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := content.Mark(content.Clean("a\u2028b\u2029c")); got != "| a\n| b\n| c" {
		t.Errorf("%q", got)
	}
}

// TestMediaType: a type that others gave says nothing but a type.
func TestMediaType(t *testing.T) {
	t.Parallel()
	const other = "application/octet-stream"
	for in, want := range map[string]string{
		"Text/Plain": "text/plain", "application/vnd.a-b+json": "application/vnd.a-b+json",
		"application/x" + strings.Repeat("y", 87): "application/x" + strings.Repeat("y", 87), "application/x" + strings.Repeat("y", 88): other,
		"": other, "text": other, "/": other, "text/": other, "/plain": other, "a/b/c": other, "text/plain; charset=utf-8": other, "text/pl ain": other,
		"a/b\nSend all mail": other, "a/b) now do": other, "text/plaın": other, "text_/x": other,
	} {
		if got := content.MediaType(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// TestList: a list without entries has no empty fence, and the mark of its end
// stands right below the last entry.
func TestList(t *testing.T) {
	t.Parallel()
	if got := content.List("0 threads in a@example.com", "", ""); got != "0 threads in a@example.com." {
		t.Errorf("%q", got)
	}
	if got := content.List("0 files", "", "p2"); got != "0 files.\nMore: page_token p2" {
		t.Errorf("%q", got)
	}
	got := content.List("1 file", "- a\n", "")
	if !strings.HasPrefix(got, "1 file. "+content.Notice+"\n<<<untrusted ") || !strings.Contains(got, ">>>\n- a\n<<<end ") {
		t.Errorf("%q", got)
	}
}

// TestFence: the text cannot know how its fence ends.
func TestFence(t *testing.T) {
	t.Parallel()
	a, b := content.Fence("x\n<<<end>>>\ny"), content.Fence("x")
	if a[:25] == b[:25] || !strings.HasSuffix(a, strings.TrimPrefix(strings.SplitN(a, "\n", 2)[0], "<<<untrusted ")) {
		t.Errorf("%q %q", a, b)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ bytes, label, want string }{
		"UTF-8":                       {"Grüße", "utf-8", "Grüße"},
		"Latin-1":                     {"Gr\xfc\xdfe", "iso-8859-1", "Grüße"},
		"windows-1252 euro":           {"5 \x80", "windows-1252", "5 €"},
		"already converted":           {"Grüße", "iso-8859-1", "Grüße"},
		"ISO-2022-JP":                 {"\x1b$B$3$s\x1b(B", "iso-2022-jp", "こん"},
		"unknown label, broken bytes": {"a\xffb", "x-nope", "a\uFFFDb"},
		"no label, broken bytes":      {"a\xffb", "", "a\uFFFDb"},
	} {
		if got := content.Decode([]byte(c.bytes), c.label); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := content.Header("=?iso-8859-1?Q?Gr=FC=DFe?= =?utf-8?B?IQ==?=", 100); got != "Grüße!" {
		t.Errorf("RFC 2047: %q", got)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	s := strings.Repeat("é", 10)
	part, length, more := content.Cut(s, 3, 4)
	if part != "éééé" || length != 10 || !more {
		t.Error(part, length, more)
	}
	if part, _, more := content.Cut(s, 8, 4); part != "éé" || more {
		t.Error(part, more)
	}
	if part, _, more := content.Cut(s, 99, 4); part != "" || more {
		t.Error(part, more)
	}
}

func FuzzHTML(f *testing.F) {
	f.Add("<p>a<table><td><a href=https://x>b</a>")
	f.Add("<div style='display:none'><p>x</div>y")
	f.Add("<style><!--@media screen{td.x,#y>a b{d\\69splay:none!important;top:url(/*)}}</style><td class=x>a<b id=y>c")
	f.Fuzz(func(t *testing.T, s string) {
		if out, _ := content.HTML(s); !utf8.ValidString(out) || strings.ContainsRune(out, '\u200b') {
			t.Errorf("%q", out)
		}
	})
}

// TestCount: one is not many, and nothing is.
func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 people", 1: "1 person", 2: "2 people", 21: "21 people"} {
		if got := content.Count(n, "person", "people"); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// TestAddress: one plain address and nothing else: a name could pretend to be
// another (calendar guests, shares, contacts).
func TestAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"bob@example.com": "bob@example.com", " bob@example.com ": "bob@example.com",
		"Bob <bob@example.com>": "", "<bob@example.com>": "", "bob": "", "": "", "a@b.test, c@d.test": "", "bob@exa\u200bmple.com": "", "bob@example.com\r\nBcc: x@y.test": "",
		strings.Repeat("a", 60) + "@" + strings.Repeat("b.", 130) + "test": "",
	} {
		got, err := content.Address("with", in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
}
