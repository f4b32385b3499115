package content

import (
	"slices"
	"strings"
)

// declaration is a property of CSS and its value, in lower case and without escapes.
type declaration struct {
	property, value string
	important       bool
}

// cascaded is under which name declarations override each other.
func (d declaration) cascaded() string {
	switch d.property {
	case "font":
		return "font-size"
	case "background":
		return "background-color"
	case "overflow-x", "overflow-y":
		return "overflow"
	}
	return d.property
}

// keywords are the values of the properties that matter here which are no length,
// colour or function. The value of a property that is missing is not looked at.
var keywords = map[string]string{
	"display":    "none block inline inline-block flex inline-flex grid inline-grid flow-root contents list-item table inline-table table-row table-cell table-row-group table-header-group table-footer-group table-column table-column-group table-caption -webkit-box -webkit-inline-box -webkit-flex -webkit-inline-flex",
	"visibility": "visible hidden collapse",
	"font-size":  "xx-small x-small small medium large x-large xx-large smaller larger", "font": "",
	"opacity": "", "zoom": "normal reset",
	"filter": "none", "transform": "none", "clip": "auto", "clip-path": "none",
	"height": "auto min-content max-content fit-content", "width": "auto min-content max-content fit-content",
	"max-height": "none min-content max-content fit-content", "max-width": "none min-content max-content fit-content",
	"overflow": "visible hidden clip scroll auto", "overflow-x": "visible hidden clip scroll auto", "overflow-y": "visible hidden clip scroll auto",
	"position": "static relative absolute fixed sticky",
	"left":     "auto", "top": "auto", "right": "auto", "bottom": "auto", "margin-left": "auto", "margin-top": "auto", "text-indent": "",
	"color": "", "-webkit-text-fill-color": "", "background": "", "background-color": "", "background-image": "none",
}

// valid reports whether a reader's program would take the value: of one that it does
// not take, nothing is overridden.
func (d declaration) valid() bool {
	known, ok := keywords[d.property]
	if !ok || d.value == "" {
		return false
	}
	switch d.value {
	case "inherit", "initial", "unset", "revert", "revert-layer":
		return true
	}
	for w := range strings.FieldsSeq(known) {
		if d.value == w {
			return true
		}
	}
	switch d.property {
	case "display", "visibility", "position":
		return false
	case "overflow":
		one, two, _ := strings.Cut(d.value, " ") // each axis
		return one != "" && strings.Contains(known, one) && strings.Contains(known, strings.TrimSpace(two))
	case "font":
		return absolute("font", d.value) || conceals("font", d.value) || strings.ContainsAny(d.value, "%(") || strings.Contains(d.value, "em")
	case "color", "-webkit-text-fill-color", "background", "background-color", "background-image":
		return true // what is not known is unknown from there on
	}
	if strings.Contains(d.value, "(") {
		return true
	}
	n, unit := length(d.value)
	switch d.property {
	case "opacity", "zoom":
		return unit == "number" || unit == "%"
	}
	return n == 0 && unit == "number" || strings.Contains(units, " "+unit+" ")
}

// units are those of lengths.
const units = " px pt pc in cm mm q em rem ex rex ch rch cap ic lh rlh vw vh vi vb vmin vmax svw svh lvw lvh dvw dvh % "

// setBy are the declarations of a rule that matter here, one of those that override
// each other. Blocks within it are left out.
func setBy(body string) []declaration {
	var set []declaration
	put := func(d declaration) {
		at := slices.IndexFunc(set, func(before declaration) bool { return before.cascaded() == d.cascaded() })
		switch {
		case at < 0:
			set = append(set, d)
		case d.important || !set[at].important:
			set[at] = d
		}
	}
	for body != "" {
		i := until(body, ";{")
		if i < len(body) && body[i] == '{' {
			_, body = block(body[i+1:])
			continue
		}
		if property, value, ok := strings.Cut(body[:i], ":"); ok {
			value, mark, _ := strings.Cut(value, "!")
			d := declaration{plainCSS(property), plainCSS(value), plainCSS(mark) == "important"}
			if d.valid() && (mark == "" || d.important) {
				put(d)
			}
		}
		body = body[min(i+1, len(body)):]
	}
	return set
}
