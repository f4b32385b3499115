package oauth

import (
	"errors"
	"slices"
	"strings"
)

// Limits of a scope parameter. A longer one is refused, never cut.
const (
	MaxScopeBytes = 4096
	MaxScopes     = 100
)

// ErrScopeSyntax says that a scope parameter breaks RFC 6749 §3.3 or the
// limits above.
var ErrScopeSyntax = errors.New("scope is malformed or too long")

// Scopes is a parsed scope parameter: sorted, without duplicates. The zero
// value is the empty set. It is immutable: no method changes its receiver.
type Scopes struct{ values []string }

// ParseScopes parses a space-separated scope parameter (RFC 6749 §3.3).
// It returns ErrScopeSyntax for a character outside the RFC's set and beyond
// MaxScopeBytes or MaxScopes.
func ParseScopes(s string) (Scopes, error) {
	if len(s) > MaxScopeBytes {
		return Scopes{}, ErrScopeSyntax
	}
	for i := 0; i < len(s); i++ {
		// scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), RFC 6749 §3.3.
		if c := s[i]; c != ' ' && (c < 0x21 || c > 0x7e || c == '"' || c == '\\') {
			return Scopes{}, ErrScopeSyntax
		}
	}
	values := strings.Fields(s)
	if len(values) > MaxScopes {
		return Scopes{}, ErrScopeSyntax
	}
	return NewScopes(values...), nil
}

// NewScopes makes a set of scope values known to be well-formed.
func NewScopes(values ...string) Scopes {
	v := slices.Clone(values)
	slices.Sort(v)
	return Scopes{slices.Compact(v)}
}

// Contains reports whether the set has the scope.
func (s Scopes) Contains(scope string) bool {
	_, ok := slices.BinarySearch(s.values, scope)
	return ok
}

// ContainsAll reports whether every scope of other is in s.
func (s Scopes) ContainsAll(other Scopes) bool {
	for _, v := range other.values {
		if !s.Contains(v) {
			return false
		}
	}
	return true
}

// Union returns the scopes of both sets.
func (s Scopes) Union(other Scopes) Scopes {
	return NewScopes(append(slices.Clone(s.values), other.values...)...)
}

// Intersect returns the scopes that both sets have.
func (s Scopes) Intersect(other Scopes) Scopes { return s.filter(other.Contains) }

// Minus returns the scopes of s that other lacks.
func (s Scopes) Minus(other Scopes) Scopes {
	return s.filter(func(v string) bool { return !other.Contains(v) })
}

func (s Scopes) filter(keep func(string) bool) Scopes {
	var out []string
	for _, v := range s.values {
		if keep(v) {
			out = append(out, v)
		}
	}
	return Scopes{out}
}

// Empty reports whether the set has no scope.
func (s Scopes) Empty() bool { return len(s.values) == 0 }

// Slice returns the sorted scopes as a new slice, never nil.
func (s Scopes) Slice() []string { return append([]string{}, s.values...) }

// String is the canonical wire form: sorted, one space between.
func (s Scopes) String() string { return strings.Join(s.values, " ") }

// Equal reports whether both sets have the same scopes.
func (s Scopes) Equal(other Scopes) bool { return slices.Equal(s.values, other.values) }
