package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/text"
	"latchkey/authserver/internal/web"
)

const (
	maxBody     = 256 << 10
	defaultPage = 50
)

// decode reads the body: one JSON object of known members. A member that this
// program does not know may restrict something, so it is refused.
func (c *call) decode(into any) error {
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &web.ProblemError{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "The body must be application/json."}
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return bad("The body could not be read.", err)
	}
	if member, found := text.BadMember(body); found {
		return bad("A member is no text (UTF-8 without NUL), or a number too large: "+member+".", nil)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return bad("The body is not the JSON object that is needed, or has an unknown member.", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad("The body is more than one JSON value.", err)
	}
	return nil
}

// query reads the query: the route's parameters, each at most once.
func (c *call) query() (url.Values, error) {
	q, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, bad("The query is malformed.", err)
	}
	for name, values := range q {
		if !slices.Contains(c.route.query, name) {
			return nil, bad("The query has an unknown parameter: "+text.Printable(name)+".", nil)
		}
		if len(values) > 1 || values[0] == "" || !text.Valid(values[0]) {
			return nil, bad("A parameter of the query is empty, no text, or given more than once: "+name+".", nil)
		}
	}
	return q, nil
}

// id reads the UUID of a path. What is none names nothing.
func (c *call) id(name string) (uuid.UUID, error) {
	id, err := uuid.Parse(c.r.PathValue(name))
	if err != nil || id.String() != c.r.PathValue(name) {
		return uuid.Nil, notFound("The tenant has no such thing.")
	}
	return id, nil
}

// uuidOf reads an optional UUID of the query.
func uuidOf(q url.Values, name string) (uuid.UUID, error) {
	if !q.Has(name) {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(q.Get(name))
	if err != nil || id.String() != q.Get(name) {
		return uuid.Nil, bad(name+" is not a UUID.", err)
	}
	return id, nil
}

// timeOf reads an optional time of the query.
func timeOf(q url.Values, name string) (time.Time, error) {
	if !q.Has(name) {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, q.Get(name))
	if err != nil {
		return t, bad(name+" is not a time such as 2026-01-31T00:00:00Z.", err)
	}
	return t, nil
}

// list is a page of a listing.
type list struct {
	Items any    `json:"items"`
	Next  string `json:"next_cursor,omitempty"` // absent: this was the last page
}

// some is a list that is never null.
func some[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// page answers with a page that read returns, in which a full page may be
// followed by another; last names the last entry.
func page[T any](a *API, c *call, q url.Values, read func(operator.Page) ([]T, error), last func(T) string) error {
	p := operator.Page{Limit: defaultPage}
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		if err != nil || n < 1 || n > operator.MaxPage {
			return bad("limit is a number from 1 to "+strconv.Itoa(operator.MaxPage)+".", err)
		}
		p.Limit = n
	}
	var err error
	if q.Has("cursor") {
		if p.After, err = a.open(c, q); err != nil {
			return err
		}
	}
	items, err := read(p)
	if err != nil {
		return err
	}
	out := list{Items: some(items)}
	if len(items) == p.Limit {
		if out.Next, err = a.seal(c, q, last(items[len(items)-1])); err != nil {
			return err
		}
	}
	web.WriteJSON(c.w, http.StatusOK, out)
	return nil
}
