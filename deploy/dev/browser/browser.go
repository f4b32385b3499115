// Package browser is a person at a browser without a screen: it follows
// redirects, keeps cookies and submits forms. The smoke client and tests use
// it; it runs no JavaScript and never visits the URL at which it is told to
// stop.
package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"
)

const (
	maxRedirects = 20
	maxPage      = 1 << 20
)

// Browser is one browser profile. Not safe for concurrent use.
type Browser struct {
	// Stop says at which URL navigation ends, unvisited: the client's redirect
	// URI.
	Stop func(*url.URL) bool
	// Visited is told each request's URL and status; may be nil.
	Visited func(method string, u *url.URL, status int)

	http *http.Client
}

// New returns a browser without cookies.
func New() *Browser {
	jar, _ := cookiejar.New(nil) // never fails without options
	return &Browser{http: &http.Client{Jar: jar, Timeout: 2 * time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Page is where navigation ended.
type Page struct {
	URL    *url.URL
	Status int // 0 when navigation was stopped before the URL was visited
	Header http.Header
	Body   []byte
	Forms  []*Form
}

// Form is a form with the values it would submit as it stands.
type Form struct {
	Action  *url.URL
	Method  string
	Values  url.Values // hidden fields and ticked boxes
	Buttons []Button
}

// Button is a submit button with a name.
type Button struct{ Name, Value string }

// Get navigates to a URL.
func (b *Browser) Get(ctx context.Context, target string) (*Page, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	return b.navigate(ctx, http.MethodGet, u, nil, nil)
}

// Submit submits a form by one of its buttons.
func (b *Browser) Submit(ctx context.Context, from *Page, f *Form, button Button) (*Page, error) {
	values := url.Values{}
	for k, v := range f.Values {
		values[k] = v
	}
	if button.Name != "" {
		values.Set(button.Name, button.Value)
	}
	return b.navigate(ctx, f.Method, f.Action, values, from.URL)
}

func (b *Browser) navigate(ctx context.Context, method string, u *url.URL, form url.Values, from *url.URL) (*Page, error) {
	for range maxRedirects {
		if b.Stop != nil && b.Stop(u) {
			return &Page{URL: u}, nil
		}
		var body io.Reader
		if method == http.MethodPost {
			body = strings.NewReader(form.Encode())
		}
		req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "text/html")
		req.Header.Set("Sec-Fetch-Mode", "navigate")
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", from.Scheme+"://"+from.Host)
			req.Header.Set("Sec-Fetch-Site", map[bool]string{true: "same-origin", false: "cross-site"}[from.Host == u.Host])
		}
		resp, err := b.http.Do(req)
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		if b.Visited != nil {
			b.Visited(method, u, resp.StatusCode)
		}
		location := resp.Header.Get("Location")
		if resp.StatusCode < 300 || resp.StatusCode > 399 || location == "" {
			p := &Page{URL: u, Status: resp.StatusCode, Header: resp.Header, Body: content}
			p.Forms, err = forms(u, content)
			return p, err
		}
		next, err := u.Parse(location)
		if err != nil {
			return nil, fmt.Errorf("redirect to a malformed URL: %w", err)
		}
		from, u = u, next
		if resp.StatusCode != http.StatusTemporaryRedirect && resp.StatusCode != http.StatusPermanentRedirect {
			method, form = http.MethodGet, nil
		}
	}
	return nil, errors.New("too many redirects")
}

func forms(base *url.URL, content []byte) ([]*Form, error) {
	doc, err := html.Parse(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	var out []*Form
	var current *Form
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			switch n.Data {
			case "form":
				action, err := base.Parse(attr(n, "action"))
				if err == nil {
					current = &Form{Action: action, Method: strings.ToUpper(attr(n, "method")), Values: url.Values{}}
					if current.Method == "" {
						current.Method = http.MethodGet
					}
					out = append(out, current)
				}
			case "button":
				if current != nil && attr(n, "name") != "" {
					current.Buttons = append(current.Buttons, Button{attr(n, "name"), attr(n, "value")})
				}
			case "input":
				kind := attr(n, "type")
				if current != nil && attr(n, "name") != "" && (kind != "checkbox" && kind != "radio" && kind != "submit" || has(n, "checked")) {
					current.Values.Add(attr(n, "name"), attr(n, "value"))
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(doc)
	return out, nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

// Button finds a form's button by name and value; an empty value takes the
// first of that name.
func (p *Page) Button(name, value string) (*Form, Button, bool) {
	for _, f := range p.Forms {
		for _, b := range f.Buttons {
			if b.Name == name && (value == "" || b.Value == value) {
				return f, b, true
			}
		}
	}
	return nil, Button{}, false
}
