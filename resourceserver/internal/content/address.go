package content

import (
	"net/mail"
	"strings"

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
