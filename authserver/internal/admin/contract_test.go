package admin_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"latchkey/authserver/docs"
)

// contract checks every request and answer of this package's tests against the
// API's description, and notes which operation has answered with which status.
type contract struct {
	doc    *openapi3.T
	router routers.Router

	mu   sync.Mutex
	seen map[string]map[int]bool // by operation
}

var described = func() *contract {
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err == nil {
		err = doc.Validate(context.Background())
	}
	if err != nil {
		panic(err)
	}
	// A member of an answer that is not described is a mistake, though clients must
	// expect new ones.
	no := false
	for _, s := range doc.Components.Schemas {
		if len(s.Value.Properties) > 0 {
			s.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
		}
	}
	openapi3filter.RegisterBodyDecoder("application/jsonl", openapi3filter.FileBodyDecoder)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	return &contract{doc: doc, router: router, seen: map[string]map[int]bool{}}
}()

// transport is a client of the API under the contract.
type transport struct{ t testing.TB }

// RoundTrip sends a request. What is served must have been as described; so must
// every answer be, also to what was not.
func (x transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	for _, wrong := range described.check(r, body, resp, answer) {
		x.t.Errorf("%s %s answered %d: %v\n%s", r.Method, r.URL, resp.StatusCode, wrong, answer)
	}
	return resp, nil
}

func (c *contract) check(r *http.Request, body []byte, resp *http.Response, answer []byte) (wrong []error) {
	route, path, err := c.router.FindRoute(r)
	if err != nil {
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
			wrong = append(wrong, fmt.Errorf("it is not described: %w", err))
		}
		return wrong
	}
	again := r.Clone(context.Background())
	again.Body = io.NopCloser(bytes.NewReader(body))
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true}
	asked := &openapi3filter.RequestValidationInput{Request: again, PathParams: path, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(context.Background(), asked); err != nil && resp.StatusCode < 300 {
		wrong = append(wrong, fmt.Errorf("what was served is not described: %w", err))
	}
	told := &openapi3filter.ResponseValidationInput{RequestValidationInput: asked, Status: resp.StatusCode, Header: resp.Header, Options: options}
	if err := openapi3filter.ValidateResponse(context.Background(), told.SetBodyBytes(answer)); err != nil {
		wrong = append(wrong, err)
	}
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode >= 400 && !strings.HasPrefix(r.URL.Path, "/admin/token") && kind != "application/problem+json" {
		wrong = append(wrong, fmt.Errorf("an error of type %q", kind))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[route.Operation.OperationID] == nil {
		c.seen[route.Operation.OperationID] = map[int]bool{}
	}
	c.seen[route.Operation.OperationID][resp.StatusCode] = true
	return wrong
}

// unseen lists what is described and was never answered. What every operation says
// alike is enough at one: too many requests, doubt, and another's change between
// reading and writing.
func (c *contract) unseen() (out []string) {
	everywhere := map[int]bool{}
	for _, statuses := range c.seen {
		for s := range statuses {
			everywhere[s] = true
		}
	}
	raced := []string{"suspendTenant", "resumeTenant", "setGoogleClient", "useDeploymentClient", "rotateDataKey"}
	for path, item := range c.doc.Paths.Map() {
		for method, o := range item.Operations() {
			for text := range o.Responses.Map() {
				status, err := strconv.Atoi(text)
				if err != nil {
					out = append(out, o.OperationID+" has a response that is no status: "+text)
					continue
				}
				once := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status == http.StatusConflict && slices.Contains(raced, o.OperationID)
				if !c.seen[o.OperationID][status] && !(once && everywhere[status]) {
					out = append(out, fmt.Sprintf("%s %s (%s) never answered %d", method, path, o.OperationID, status))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestMain also fails when something is described that no test has seen, if all
// tests ran.
func TestMain(m *testing.M) {
	code := m.Run()
	whole := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" &&
		flag.Lookup("test.fuzz").Value.String() == ""
	if whole && code == 0 {
		if missing := described.unseen(); len(missing) > 0 {
			fmt.Fprintf(os.Stderr, "--- FAIL: docs/openapi.json describes what no test has seen:\n%s\n", strings.Join(missing, "\n"))
			code = 1
		}
	}
	os.Exit(code)
}
