package fakegoogle

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"latchkey/deploy/dev/fakegoogle/discovery"
)

//go:embed methods.json
var methodsJSON []byte

var methods = func() []discovery.Method {
	var m []discovery.Method
	if err := json.Unmarshal(methodsJSON, &m); err != nil {
		panic(err)
	}
	return m
}()

// match finds the method of a request and its path parameters. Literal
// segments win over parameters.
func match(r *http.Request) (*discovery.Method, map[string]string) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	upload := false
	if rest, ok := strings.CutPrefix(path, "upload/"); ok {
		path, upload = rest, true
	}
	verb := r.Method
	if upload && verb == http.MethodPut && r.URL.Query().Has("upload_id") { // a piece of a resumable upload
		verb = http.MethodPost
	}
	segments := strings.Split(path, "/")
	var best *discovery.Method
	var bestParams map[string]string
	bestLiterals := -1
	for i := range methods {
		m := &methods[i]
		if m.Verb != verb || (upload && !m.Upload) {
			continue
		}
		if params, literals, ok := matchPath(strings.Split(m.Path, "/"), segments); ok && literals > bestLiterals {
			best, bestParams, bestLiterals = m, params, literals
		}
	}
	return best, bestParams
}

func matchPath(template, segments []string) (params map[string]string, literals int, ok bool) {
	if len(template) != len(segments) {
		return nil, 0, false
	}
	params = map[string]string{}
	for i, t := range template {
		if !strings.HasPrefix(t, "{") {
			if t != segments[i] {
				return nil, 0, false
			}
			literals++
			continue
		}
		name, verb, _ := strings.Cut(strings.TrimPrefix(t, "{"), "}") // {id} or {id}:verb
		value, found := strings.CutSuffix(segments[i], verb)
		if !found || value == "" || (verb == "" && strings.Contains(value, ":") && i == len(template)-1 && hasVerb(value)) {
			return nil, 0, false
		}
		if verb != "" {
			literals++
		}
		decoded, err := url.PathUnescape(value)
		if err != nil {
			return nil, 0, false
		}
		params[strings.TrimPrefix(name, "+")] = decoded
	}
	return params, literals, true
}

// hasVerb tells a custom verb (values/A1:append) from a range (A1:B2), which
// clients escape.
func hasVerb(segment string) bool {
	_, verb, _ := strings.Cut(segment, ":")
	return verb != "" && strings.ToLower(verb[:1]) == verb[:1] && strings.Trim(verb, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
