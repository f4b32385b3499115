package content

import (
	"net/mail"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"latchkey/resourceserver/internal/tool"
)

// maxAddress is the longest e-mail address (RFC 5321 §4.5.3.1.3), in characters.
const maxAddress = 254

// Address reads one e-mail address without a name: a name is what others see of
// somebody, and could pretend to be somebody else. argument is its name in errors,
// which are *tool.Error.
func Address(argument, s string) (string, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != strings.TrimSpace(s) || Line(a.Address, maxAddress) != a.Address {
		return "", tool.Invalid("%s must be plain e-mail addresses such as bob@example.com.", argument)
	}
	return a.Address, nil
}

// Plain reports whether an address (RFC 5322 §3.4.1) is one that people can read: its
// local part is no quoted text, in which commas, spaces and another "@" could make one
// address look like several, and nothing in it is invisible.
func Plain(address string) bool {
	at := strings.LastIndexByte(address, '@')
	return at > 0 && Line(address, maxAddress) == address && !strings.ContainsAny(address[:at], " \t\"(),:;<>@[\\]")
}

// Shown is an address as a question to the person has it. One with letters beyond ASCII
// can look like another one, so that what it is stands behind it (RFC 5890 §4.4).
func Shown(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || strings.IndexFunc(address, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return address
	}
	ascii := func(s string) string {
		quoted := strconv.QuoteToASCII(s)
		return quoted[1 : len(quoted)-1]
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil {
		domain = ascii(address[at+1:])
	}
	return address + " [not all of it is ASCII: " + ascii(address[:at]) + "@" + domain + "]"
}

// AllShown are addresses as a question has them.
func AllShown(addresses []string) string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = Shown(a)
	}
	return strings.Join(out, ", ")
}
