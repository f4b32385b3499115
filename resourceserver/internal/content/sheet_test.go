package content_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/resourceserver/internal/content"
)

// TestSheetHides: what a style sheet hides is as unseen as what a style hides, by
// every selector that is read and however the sheet is written.
func TestSheetHides(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"class":                       `<style>.h{display:none}</style><p class="a h">evil</p>`,
		"id":                          `<style>#h{display:none}</style><p id=h>evil</p>`,
		"element":                     `<style>I{display:none}</style><i>evil</i>`,
		"every element":               `<style>*{visibility:hidden}</style><p>evil</p>`,
		"compound":                    `<style>td.x.y#z{display:none}</style><table><td id=z class="y x">evil</table>`,
		"one of a list":               `<style>q , .a>b,.h , i {display:none}</style><u class=h>evil</u>`,
		"within":                      `<style>.a .h{display:none}</style><div class=a><b><i class=h>evil</i></b></div>`,
		"in its parent":               `<style>.a > .h{display:none}</style><div class=a><i class=h>evil</i></div>`,
		"parent within":               `<style>#o div>.h{display:none}</style><div id=o><b><div><i class=h>evil</i></div></b></div>`,
		"another way up":              `<style>.a>div .h{display:none}</style><div class=a><div><div><i class=h>evil</i></div></div></div>`,
		"next to":                     `<style>.a + .h{display:none}</style><b class=a></b> <!-- x --> <i class=h>evil</i>`,
		"after":                       `<style>.a ~.h{display:none}</style><b class=a></b><u></u><i class=h>evil</i>`,
		"after within":                `<style>.o b+u~p > i{display:none}</style><div class=o><div><b></b><u></u><s></s><p><i>evil</i></p></div></div>`,
		"attribute":                   `<style>[data-h]{display:none}</style><i data-h>evil</i>`,
		"attribute's value":           `<style>i[data-h="a]b,c"][class=x]{display:none}</style><i data-h="a]b,c" class=x>evil</i>`,
		"attribute without case":      `<style>i[data-h=ABC i],b[align=LEFT]{display:none}</style><i data-h=abc>evil</i><b align=left>evil</b>`,
		"attribute's beginning":       `<style>[class^='h-']{display:none}</style><i class=h-1>evil</i>`,
		"attribute's end":             `<style>[class$=-h]{display:none}</style><i class=x-h>evil</i>`,
		"attribute's part":            `<style>[style*="color:red"]{display:none}</style><i style="top:0;color:red">evil</i>`,
		"attribute's word":            `<style>[rel~=h]{display:none}</style><i rel="a h b">evil</i>`,
		"attribute's language":        `<style>[lang|=en]{display:none}</style><i lang=en-GB>evil</i>`,
		"as special as a class":       `<style>i[class]{display:none}i{display:block}</style><i class=h>evil</i>`,
		"after the text":              `<i class=h>evil</i><style>.h{display:none}</style>`,
		"second sheet":                `<style>p{margin:0}</style><style>.h{display:none}</style><i class=h>evil</i>`,
		"in a comment's marks":        "<style type=\"text/css\">\n<!--\n.h{display:none}\n-->\n</style><i class=h>evil</i>",
		"on a screen":                 `<style>@media screen,print{.h{display:none}}</style><i class=h>evil</i>`,
		"on all":                      `<style>@media ALL{.h{display:none}}</style><i class=h>evil</i>`,
		"on every screen":             `<style>@media only screen and (min-width:1px) and (max-width:99999px){.h{display:none}}</style><i class=h>evil</i>`,
		"on a wide screen":            `<style>@media (min-width: 40em){.h{display:none}}</style><i class=h>evil</i>`,
		"sheet for a screen":          `<style media="screen">.h{display:none}</style><i class=h>evil</i>`,
		"after what is not read":      `<style>@charset "x";@import url(a/*);@font-face{src:url("}{")}p:not(.x)[a="{"]{}.h{display:none}</style><i class=h>evil</i>`,
		"after a broken rule":         `<style>1{}..{}p{color:red;}.x"}{"{};{}.h{display:none}</style><i class=h>evil</i>`,
		"mark of a comment in a text": `<style>.a{content:"/*"}.h{display:none}.b{content:"*/"}</style><i class=h>evil</i>`,
		"end of a rule in a text":     `<style>.h{content:"}";display:none}</style><i class=h>evil</i>`,
		"a comment in the way":        `<style>.a/* .x{ */,.h/**/{/*}*/display/**/:/*;*/none}</style><i class=h>evil</i>`,
		"not closed":                  `<style>.h{display:none</style><i class=h>evil</i>`,
		"escapes":                     `<style>.\68 \:1{d\69splay:non\65}</style><i class="h:1">evil</i>`,
		"value that is none":          `<style>.h{display:none}.h{display:x}.h{display:block!x}i{display:}</style><i class=h>evil</i>`,
		"size that is none":           `<style>.h{max-height:0;overflow:hidden}.h{max-height:5;max-height:5foo}</style><i class=h>evil</i>`,
		"important":                   `<style>.h{display:none ! IMPORTANT}</style><i class=h style="display:block">evil</i>`,
		"important in its rule":       `<style>.h{display:none!important;display:block}</style><i class=h>evil</i>`,
		"important first":             `<style>.h{display:none!important}.h{display:block}#i{display:block}</style><i id=i class=h>evil</i>`,
		"later":                       `<style>.h{display:block}.h{display:none}</style><i class=h>evil</i>`,
		"more special":                `<style>#h{display:none}.h.h{display:block}i{display:block}</style><i id=h class=h>evil</i>`,
		"no override by a comment":    `<style>.h{display:none}</style><i class=h style="/*;display:block;*/">evil</i>`,
		"no override by a mistake":    `<style>.h{display:none}</style><i class=h style="display:block none">evil</i>`,
		"with its style":              `<style>.h{overflow:hidden}</style><i class=h style="height:0">evil</i>`,
		"size":                        `<style>.h{font-size:0}</style><i class=h>evil</i>`,
		"preheader":                   `<style>.preheader{display:none!important;visibility:hidden;mso-hide:all;font-size:1px;max-height:0}</style><span class=preheader>evil</span>`,
		"not for the narrow":          `<style>.m{display:none}@media only screen and (max-width:600px){.m{display:block!important}}</style><i class=m>evil</i>`,
		"its own colour":              `<style>.h{color:#fff}</style><i class=h>evil</i>`,
		"others under the pointer":    `<style>.x:hover,a:visited{color:red}.h{color:#fff}</style><i class=h>evil</i>`,
		"the ground's colour":         `<style>.d{background:#123456}.d .h{color:#123456}</style><div class=d><p class=h>evil</p></div>`,
		"clear as glass":              `<style>a:link{color:red}.h{color:transparent}</style><i class=h>evil</i>`,
		"in a quotation":              `<style>.q .h{display:none}</style><div class=q><blockquote><i class=h>evil</i></blockquote></div>`,
		"deep":                        `<style>.a .h{display:none}</style>` + strings.Repeat("<div>", 600) + `<i class=h>evil</i>`,
	} {
		if got, hidden := content.HTML(in + "<p>seen</p>"); strings.Contains(got, "evil") || !hidden || !strings.Contains(got, "seen") && name != "every element" {
			t.Errorf("%s: %q, hidden %v", name, got, hidden)
		}
	}
}

// TestSheetHidesNoMore: what a reader sees stays, whatever a sheet says elsewhere, of
// others, or for other programs.
func TestSheetHidesNoMore(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"another class":            `<style>.h{display:none}</style><i class="hh H h-">seen</i>`,
		"another element":          `<style>td.x{display:none}</style><p class=x>seen</p>`,
		"not within":               `<style>.a .h{display:none}</style><div class=a></div><i class=h>seen</i>`,
		"not its parent":           `<style>.a>.h{display:none}</style><div class=a><b><i class=h>seen</i></b></div>`,
		"a part of a compound":     `<style>.a.b{display:none}</style><i class=a>seen</i>`,
		"narrow screens":           `<style>@media only screen and (max-width:600px){.d{display:none!important}}</style><i class=d>seen</i>`,
		"shown on wide screens":    `<style>.d{display:none}@media (min-width:601px){.d{display:block!important}}</style><i class=d>seen</i>`,
		"paper":                    `<style>@media print{.d{display:none}}</style><style media=print>i{display:none}</style><i class=d>seen</i>`,
		"a question not answered":  `<style>@media screen and (-webkit-min-device-pixel-ratio:0){.d{display:none}}@media not all{i{display:none}}@supports (x:y){i{display:none}}</style><i class=d>seen</i>`,
		"the dark":                 `<style>@media (prefers-color-scheme:dark){.l{display:none!important}p{color:#fff!important}}</style><p class=l>seen</p>`,
		"no CSS":                   `<style type="text/x-template">.d{display:none}</style><i class=d>seen</i>`,
		"commented out":            `<style>/*.d{display:none}*/ .e{}</style><!--[if mso]><style>i{display:none}</style><![endif]--><i class=d>seen</i>`,
		"under the pointer":        `<style>.d:hover,.d:hover i,i::before{display:none}</style><i class=d>seen</i>`,
		"siblings":                 `<style>img + i,u ~ i,s + i,i + i,i:first-child{display:none}</style><s>x</s><b>y</b><i class=d>seen</i><u>z</u>`,
		"attributes":               `<style>i[title],i[class=D],i[class^=x],i[class$=x],i[class*=x],i[class*=""],i[class~=d-e],i[lang|=d],i[class="d" x],i[|class],i[class!=x]{display:none}</style><i class="d e" lang=de>seen</i>`,
		"other browsers":           `<style>.d,_:-ms-x{display:none}.d,::-moz-x{display:none}</style><i class=d>seen</i>`,
		"its own style":            `<style>.d{display:none;max-height:0;font-size:0}</style><i class=d style="display:block;max-height:none;font:12px/1 a">seen</i>`,
		"important":                `<style>.d{display:block!important}</style><i class=d style="display:none">seen</i>`,
		"more special":             `<style>#d{display:block}td .d{display:block}.d{display:none}</style><table><td><i id=d class=d>seen</i></table>`,
		"later":                    `<style>.d{display:none}.d{display:block}</style><i class=d>seen</i>`,
		"back by the cascade":      `<style>.d{display:none}p .d{display:initial}</style><p><i class=d>seen</i></p>`,
		"size given back":          `<style>.c{font-size:0}.t{font-size:14px}</style><div class=c><p class=t>seen</p></div>`,
		"Outlook alone":            `<style>.o{mso-hide:all}</style><a class=o>seen</a>`,
		"a button":                 `<style>a{color:#00f}.btn{background-color:#07c;color:#fff}</style><a class=btn href="https://x.test/">seen</a>`,
		"a button by its cell":     `<style>.btn td{background:#07c}.btn a{color:#ffffff}</style><table class=btn><td><a href="https://x.test/">seen</a></table>`,
		"on a picture":             `<style>.hero{background:#fff url(x.png) no-repeat}.hero p{color:#fff}</style><div class=hero><p>seen</p></div>`,
		"on a gradient":            `<style>.hero{background-image:linear-gradient(#000,#222)}.w{color:#fff}</style><div class=hero><p class=w>seen</p></div>`,
		"on what is not read":      `<style>[data-x]{background:#000}.w{color:#fff}</style><div data-x=1><p class=w>seen</p></div>`,
		"on a sheet from outside":  `<link rel=stylesheet href="https://x.test/"><style>.w{color:#fff}</style><div class=x><p class=w>seen</p></div>`,
		"on an import":             `<style>@import url(x.css);.w{color:#fff}</style><div class=x><p class=w>seen</p></div>`,
		"the page is dark":         `<style>body,.wrap{background-color:#111;color:#eee}</style><body><div class=wrap><p>seen</p></div></body>`,
		"white, dark by its style": `<style>.w{color:#fff!important}</style><div style="background:#000"><p class=w style="color:#000">seen</p></div>`,
	} {
		if got, hidden := content.HTML(in); !strings.Contains(got, "seen") || hidden {
			t.Errorf("%s: %q, hidden %v", name, got, hidden)
		}
	}
}

// newsletter is a mail as the usual editors make them: resets for every program, a
// preheader, columns and pictures that change on narrow screens, buttons.
const newsletter = `<!doctype html><html><head><meta charset="utf-8"><title>News</title>
<style type="text/css">
#outlook a{padding:0} .ExternalClass,.ReadMsgBody{width:100%} .ExternalClass *{line-height:100%}
body,table,td,a{-webkit-text-size-adjust:100%;-ms-text-size-adjust:100%}
table,td{mso-table-lspace:0pt;mso-table-rspace:0pt;border-collapse:collapse}
img{border:0;height:auto;line-height:100%;outline:none;text-decoration:none}
body{margin:0!important;padding:0!important;width:100%!important;height:100%!important;background-color:#f4f4f4}
a[x-apple-data-detectors]{color:inherit!important;font-size:inherit!important}
u + #body a,#MessageViewBody a{color:inherit;text-decoration:none}
div[style*="margin: 16px 0;"]{margin:0!important}
.preheader{display:none!important;max-height:0;overflow:hidden;opacity:0;mso-hide:all}
.mobile-only{display:none;max-height:0;overflow:hidden}
.col{font-size:0;text-align:center}.col-in{display:inline-block;font-size:16px;max-width:300px}
.spacer{font-size:1px;line-height:20px;height:20px}
.btn a{background-color:#0a7;color:#fff;padding:12px 20px;display:inline-block}.btn a:hover{background-color:#085}
.footer{background:#222222}.footer p,.footer a{color:#ffffff!important}
@media only screen and (max-width:600px){.desktop-only{display:none!important}.mobile-only{display:block!important;max-height:none!important}.col-in{width:100%!important}}
@media (prefers-color-scheme:dark){body{background:#000!important}h1,p{color:#fff!important}}
</style>
<!--[if mso]><style>.col-in{display:none}</style><![endif]--></head>
<body id="body"><span class="preheader">Preview &#847;&zwnj;&nbsp;</span>
<table role="presentation"><tr><td class="desktop-only">Wide picture</td></tr><tr><td class="mobile-only">Narrow picture</td></tr>
<tr><td><h1>Our autumn</h1><p>Leaves fall.</p></td></tr><tr><td class="spacer">&nbsp;</td></tr>
<tr><td class="col"><div class="col-in">Left column</div><div class="col-in">Right column</div></td></tr>
<tr><td class="btn"><a href="https://shop.example/">Buy now</a></td></tr>
<tr><td class="footer"><p>Our address. <a href="https://shop.example/out">Leave</a></p></td></tr></table></body></html>`

// TestNewsletter: of a usual newsletter nothing is missing but what is hidden.
func TestNewsletter(t *testing.T) {
	t.Parallel()
	got, hidden := content.HTML(newsletter)
	for _, seen := range []string{"Wide picture", "Our autumn", "Leaves fall.", "Left column", "Right column", "Buy now (https://shop.example/)", "Our address. Leave"} {
		if !strings.Contains(got, seen) {
			t.Errorf("%s is missing", seen)
		}
	}
	if strings.Contains(got, "Preview") || strings.Contains(got, "Narrow") || !hidden {
		t.Errorf("%q, hidden %v", got, hidden)
	}
	if got, hidden := content.HTML(strings.NewReplacer(`<span class="preheader">Preview &#847;&zwnj;&nbsp;</span>`, "", "Narrow picture", "").Replace(newsletter)); hidden {
		t.Errorf("nothing is hidden: %q", got)
	}
}

// TestSheetBounds: a sheet costs no more than its limits. What they leave out is as
// unread as before, the rest is read.
func TestSheetBounds(t *testing.T) {
	t.Parallel()
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	body := strings.Repeat(`<i class=x>`, 200) + strings.Repeat("<b class=x></b>", 5_000) + "<p class=first>evil</p><p>seen</p>"
	dark := `<style>.dark{background:#000}` + many(3_000, ".a .b .c .x{top:%dpx}") + "</style>" + body + `<div class=dark><p class=y style="color:#fff">late</p></div>`
	if got, _ := content.HTML(dark); !strings.Contains(got, "late") {
		t.Error("beyond the limit colours are unknown, and text in them was left out")
	}
	// What is compared counts too: here each step reads a quarter of a megabyte, and after
	// some hundred of them nothing more is read. (Of 40,000, as many as there would be.)
	long := "<div class='" + many(30_000, "c%d ") + "'" + many(30_000, " a%d") + ">" + strings.Repeat("<i>seen</i>", 200) + "</div><p class=first>late</p>"
	for name, rule := range map[string]string{"classes": ".q%d i{top:0}", "ids": "#q%d i{top:0}", "attributes": "[q%d] i{top:0}", "own classes": ".c1.q%d{top:0}"} {
		if got, _ := content.HTML("<style>.first{display:none}" + many(400, rule) + "</style>" + long); !strings.Contains(got, "seen") || !strings.Contains(got, "late") {
			t.Errorf("long %s: %d bytes", name, len(got))
		}
	}
	for name, sheet := range map[string]string{
		"many classes of one": many(3_000, ".x") + "{display:none}", "many siblings": many(3_000, "b.x ~ b.x ~ b.y%d{top:0}"), "many attributes of one": many(3_000, "[a%d]") + "{display:none}",
		"large":               many(20_000, ".y%d{color:red}"),
		"many rules":          many(10_000, ".x{top:%dpx}"),
		"many selectors":      many(10_000, ".x%d,") + ".x{display:none}",
		"many steps":          many(3_000, ".a .b .c .x{top:%dpx}"),
		"long selector":       many(10_000, ".c%d ") + ".x{display:none}",
		"one large rule":      ".x{" + many(10_000, "top:%dpx;") + "}",
		"blocks in blocks":    strings.Repeat("@media all{", 10_000) + ".x{display:none}",
		"brackets":            strings.Repeat("(", 10_000) + strings.Repeat("[", 10_000),
		"braces":              strings.Repeat("{", 20_000),
		"texts without end":   strings.Repeat("\"\n'\n", 20_000),
		"comments":            strings.Repeat("/*", 20_000),
		"addresses":           strings.Repeat("url(", 20_000),
		"backslashes":         strings.Repeat(`\`, 19_999),
		"everything at rules": strings.Repeat("@", 20_000),
	} {
		if got, hidden := content.HTML("<style>.first{display:none}" + sheet + "</style><p class=first>evil</p>" + body); !strings.Contains(got, "seen") || !hidden {
			t.Errorf("%s: %d bytes, hidden %v", name, len(got), hidden)
		}
	}
}
