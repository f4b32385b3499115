package fakegoogle

import (
	"encoding/json"
	"strings"
)

// encode marshals a result and cuts it to a fields mask, as Google's partial
// responses: a,b(c,d),e/f with * for every member.
func encode(v any, mask string) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil || mask == "" || mask == "*" {
		return b, err
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		return nil, err
	}
	m, rest, ok := parseMask(mask)
	if !ok || rest != "" {
		return nil, badRequest("Invalid field selection " + mask)
	}
	return json.Marshal(m.apply(tree))
}

// mask maps a member to what is kept of it; an empty mask keeps everything.
type maskNode map[string]maskNode

func parseMask(s string) (maskNode, string, bool) {
	node := maskNode{}
	for {
		end := strings.IndexAny(s, ",()/")
		name := s
		if end >= 0 {
			name, s = s[:end], s[end:]
		} else {
			s = ""
		}
		name = strings.TrimSpace(name)
		if name == "" {
			return nil, "", false
		}
		child := maskNode{}
		switch {
		case strings.HasPrefix(s, "/"):
			sub, rest, ok := parsePath(s[1:])
			if !ok {
				return nil, "", false
			}
			child, s = sub, rest
		case strings.HasPrefix(s, "("):
			sub, rest, ok := parseMask(s[1:])
			if !ok || !strings.HasPrefix(rest, ")") {
				return nil, "", false
			}
			child, s = sub, rest[1:]
		}
		node.add(name, child)
		if !strings.HasPrefix(s, ",") {
			return node, s, true
		}
		s = s[1:]
	}
}

// parsePath reads what follows a slash: one member with its own selection.
func parsePath(s string) (maskNode, string, bool) {
	end := strings.IndexAny(s, ",()/")
	name, rest := s, ""
	if end >= 0 {
		name, rest = s[:end], s[end:]
	}
	child := maskNode{}
	ok := name != ""
	switch {
	case strings.HasPrefix(rest, "/"):
		child, rest, ok = parsePath(rest[1:])
	case strings.HasPrefix(rest, "("):
		child, rest, ok = parseMask(rest[1:])
		ok = ok && strings.HasPrefix(rest, ")")
		if ok {
			rest = rest[1:]
		}
	}
	return maskNode{name: child}, rest, ok
}

func (m maskNode) add(name string, child maskNode) {
	if old, ok := m[name]; ok && len(old) > 0 && len(child) > 0 {
		for k, v := range child {
			old.add(k, v)
		}
		return
	}
	m[name] = child
}

func (m maskNode) apply(v any) any {
	if len(m) == 0 {
		return v
	}
	switch v := v.(type) {
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			out = append(out, m.apply(e))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			if sub, ok := m[name]; ok {
				out[name] = sub.apply(member)
			} else if sub, ok := m["*"]; ok {
				out[name] = sub.apply(member)
			}
		}
		return out
	}
	return v
}
