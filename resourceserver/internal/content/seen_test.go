package content_test

import (
	"strings"
	"testing"

	"latchkey/resourceserver/internal/content"
)

// TestSeenTextStays: what a reader sees is never left out: a size or visibility that an element inside changes back, colours that the body, a link or a
// style sheet decides.
func TestSeenTextStays(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"size given back":              `<table><td style="font-size:0px;padding:10px"><div style="font-size:13px;color:#000">seen</div></td></table>`,
		"size given back by a word":    `<div style="font-size:0"><p style="font:bold small serif">seen</p></div>`,
		"text colour of the body":      `<body bgcolor="#000000" text="#ffffff">seen</body>`,
		"element rule of a sheet":      `<style>td{color:#fff}</style><table><td bgcolor="#000000">seen</td></table>`,
		"link on a dark ground":        `<div style="background:#000"><a href="https://x.test/">seen</a></div>`,
		"visible in what is not":       `<div style="visibility:hidden"><p style="visibility:visible">seen</p></div>`,
		"ground changed":               `<div style="background:#000;color:#000"><span style="background:#fff">seen</span></div>`,
		"a gradient":                   `<div style="color:#fff;background:linear-gradient(#000,#111)">seen</div>`,
		"moved a little":               `<p style="transform:translateX(-12px)">seen</p>`,
		"moved by a share of its size": `<p style="transform:translate(-50%, -50%)">seen</p>`,
	} {
		if got, hidden := content.HTML(in); !strings.Contains(got, "seen") || hidden {
			t.Errorf("%s: %q, hidden %v", name, got, hidden)
		}
	}
}

// TestUnseenTextIsLeftOut: what no reader sees is no instruction, however it is hidden; a share of a size that is none is none.
func TestUnseenTextIsLeftOut(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"white by hue":                `<p style="color:hsl(0,0%,100%)">evil</p>`,
		"white in per cent":           `<p style="color:rgb(100% 100% 100%)">evil</p>`,
		"white over lines":            "<p style=\"color:rgb(255,\n255,255)\">evil</p>",
		"nearly white":                `<p style="color:floralwhite">evil</p>`,
		"short colour of a font":      `<font color="fff">evil</font>`,
		"fill colour":                 `<p style="-webkit-text-fill-color:transparent">evil</p>`,
		"explicit white with a sheet": `<style>p{margin:0}</style><p style="color:#fff">evil</p>`,
		"size calculated":             `<p style="font-size:calc(0px)">evil</p>`,
		"size in font":                `<p style="font:0.01em a">evil</p>`,
		"share of nothing":            `<div style="font-size:0"><p style="font-size:2em">evil</p></div>`,
		"inherited":                   `<div style="font-size:0"><p style="font-size:inherit">evil</p></div>`,
		"undone by nothing":           `<p style="font-size:0;font-size:x">evil</p>`,
		"visibility below":            `<div style="visibility:hidden"><p>evil</p></div>`,
		"zoom":                        `<p style="zoom:0">evil</p>`,
		"filter":                      `<p style="filter:opacity(0)">evil</p>`,
		"moved away":                  `<p style="transform:translateX(-9999px)">evil</p>`,
	} {
		if got, hidden := content.HTML(in); strings.Contains(got, "evil") || !hidden {
			t.Errorf("%s: %q, hidden %v", name, got, hidden)
		}
	}
}
