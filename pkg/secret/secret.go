package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a secret string: a token, a code, a client secret, a cookie.
// Every formatting verb, slog handler and encoder sees "[redacted]".
type Text struct{ value string }

// NewText wraps a secret string.
func NewText(value string) Text { return Text{value} }

// Reveal returns the value. Call it only where the value goes to its one
// rightful destination.
func (t Text) Reveal() string { return t.value }

// Empty reports whether there is no secret.
func (t Text) Empty() bool { return t.value == "" }

// Equal compares in constant time. Two empty secrets are not equal: an absent
// value must never match an absent value.
func (t Text) Equal(other Text) bool {
	if t.value == "" || other.value == "" {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(t.value), []byte(other.value)) == 1
}

func (t Text) String() string               { return redacted }
func (t Text) GoString() string             { return redacted }
func (t Text) Format(s fmt.State, _ rune)   { _, _ = s.Write([]byte(redacted)) }
func (t Text) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (t Text) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// UnmarshalText lets configuration decode into a Text.
func (t *Text) UnmarshalText(b []byte) error {
	t.value = string(b)
	return nil
}

// Bytes is a secret byte string: key material.
type Bytes struct{ value []byte }

// NewBytes wraps key material. The slice is not copied.
func NewBytes(value []byte) Bytes { return Bytes{value} }

// Reveal returns the bytes themselves, not a copy.
func (b Bytes) Reveal() []byte { return b.value }

// Empty reports whether there is no secret.
func (b Bytes) Empty() bool { return len(b.value) == 0 }

func (b Bytes) String() string               { return redacted }
func (b Bytes) GoString() string             { return redacted }
func (b Bytes) Format(s fmt.State, _ rune)   { _, _ = s.Write([]byte(redacted)) }
func (b Bytes) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (b Bytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (b Bytes) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
