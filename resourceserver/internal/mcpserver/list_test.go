package mcpserver_test

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/resourceserver/internal/mcpserver"
	"latchkey/resourceserver/internal/tool"
)

const modernParams = `{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}`

func lister(t *testing.T) *bench {
	t.Helper()
	one, err := tool.New(description("account_one"), handler)
	if err != nil {
		t.Fatal(err)
	}
	two, err := tool.New(description("account_two"), handler)
	if err != nil {
		t.Fatal(err)
	}
	return newBench(t, byClient, one, two)
}

func listOf(id, rest string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/list"` + rest + `}`
}

// same: status, body and every header but the request's id.
func same(a, b *httptest.ResponseRecorder) bool {
	x, y := a.Header().Clone(), b.Header().Clone()
	x.Del("X-Request-Id")
	y.Del("X-Request-Id")
	return a.Code == b.Code && a.Body.String() == b.Body.String() && maps.EqualFunc(x, y, slices.Equal[[]string])
}

// eras are requests for the list as clients send them.
var eras = []struct {
	name, rest string
	headers    []string
}{
	{"without a version", "", nil},
	{"2025-06-18", `,"params":{}`, []string{"MCP-Protocol-Version", "2025-06-18"}},
	{"2025-11-25 with progress", `,"params":{"_meta":{"progressToken":1}}`, []string{"MCP-Protocol-Version", "2025-11-25"}},
	{"2026-07-28", `,"params":` + modernParams, []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list"}},
}

// TestListFromMemory: the answer that is kept is the library's, byte for byte but
// for the id, with the same status and headers.
func TestListFromMemory(t *testing.T) {
	t.Parallel()
	for _, era := range eras {
		kept := lister(t)
		for i, id := range []string{"1", "2", `"a"`, `"\u003cx\u003e"`, "-7", "0.5", "9007199254740993", "1e3", `""`} {
			library := lister(t)
			want := library.post(library.token("s", "g"), listOf(id, era.rest), era.headers...)
			got := kept.post(kept.token("s", "g"), listOf(id, era.rest), era.headers...)
			if !same(want, got) || want.Code != 200 || !strings.Contains(got.Body.String(), "account_two") {
				t.Errorf("%s, id %s: %d %v %s", era.name, id, got.Code, got.Header(), got.Body)
			}
			if n := mcpserver.Listed(kept.s); n != 1 {
				t.Errorf("%s, request %d: %d forms are known", era.name, i, n)
			}
		}
	}
}

// TestListLooksClosely: whatever is not exactly what was answered before gets what
// a server that never answered anything gives, and is not kept if it is an error.
func TestListLooksClosely(t *testing.T) {
	t.Parallel()
	b := lister(t)
	token := b.token("s", "g")
	for _, era := range eras {
		b.post(token, listOf("1", era.rest), era.headers...)
	}
	modern := eras[len(eras)-1].headers
	known := mcpserver.Listed(b.s)
	for name, c := range map[string]struct {
		body    string
		headers []string
	}{
		"null id":                {listOf("null", ""), nil},
		"object as id":           {listOf(`{}`, ""), nil},
		"list as id":             {listOf(`[1]`, ""), nil},
		"no id":                  {`{"jsonrpc":"2.0","method":"tools/list"}`, nil},
		"a second id":            {listOf("1", `,"id":2`), nil},
		"ID beside id":           {listOf("1", `,"ID":2`), nil},
		"a second method":        {listOf("1", `,"method":"ping"`), nil},
		"METHOD beside method":   {listOf("1", `,"METHOD":"ping"`), nil},
		"escaped member":         {listOf("1", `,"\u006dethod":"ping"`), nil},
		"a result too":           {listOf("1", `,"result":{}`), nil},
		"an error too":           {listOf("1", `,"error":{}`), nil},
		"another JSON-RPC":       {strings.Replace(listOf("1", ""), "2.0", "1.0", 1), nil},
		"more behind it":         {listOf("1", "") + "{}", nil},
		"cut off":                {strings.TrimSuffix(listOf("1", ""), "}"), nil},
		"batch":                  {"[" + listOf("1", "") + "]", nil},
		"params is no object":    {listOf("1", `,"params":7`), nil},
		"a cursor of nobody":     {listOf("1", `,"params":{"cursor":"!"}`), nil},
		"another content type":   {listOf("1", ""), []string{"Content-Type", "text/plain"}},
		"unknown version":        {listOf("1", ""), []string{"MCP-Protocol-Version", "1900-01-01"}},
		"modern, old header":     {listOf("1", `,"params":`+modernParams), []string{"MCP-Protocol-Version", "2025-11-25", "Mcp-Method", "tools/list"}},
		"modern, no header":      {listOf("1", `,"params":`+modernParams), nil},
		"modern header only":     {listOf("1", ""), modern},
		"modern, another method": {listOf("1", `,"params":`+modernParams), []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call"}},
		"modern, no method":      {listOf("1", `,"params":`+modernParams), []string{"MCP-Protocol-Version", "2026-07-28"}},
		"modern, no abilities":   {listOf("1", `,"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}`), modern},
	} {
		fresh := lister(t)
		want, got := fresh.post(fresh.token("s", "g"), c.body, c.headers...), b.post(token, c.body, c.headers...)
		if !same(want, got) {
			t.Errorf("%s: %d %s, not %d %s", name, got.Code, got.Body, want.Code, want.Body)
		}
	}
	if n := mcpserver.Listed(b.s); n != known {
		t.Errorf("%d forms are known, not %d: an error was kept", n, known)
	}
	// No token, no list, whoever asked before.
	if w := b.post("x", listOf("1", "")); w.Code != 401 || strings.Contains(w.Body.String(), "account_two") {
		t.Errorf("without a token: %d %s", w.Code, w.Body)
	}
}

// TestListIsBounded: a client that asks in ever new forms fills no memory, and
// many at once get whole answers.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	b := lister(t)
	token := b.token("s", "g")
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 100 {
				id := fmt.Sprint(w*1000 + i)
				out := b.post(token, listOf(id, `,"params":{"_meta":{"progressToken":`+fmt.Sprint(w*100+i)+`}}`))
				if out.Code != 200 || !strings.HasPrefix(out.Body.String(), `{"jsonrpc":"2.0","id":`+id+`,"result":{`) || !strings.Contains(out.Body.String(), "account_two") {
					t.Errorf("%d %s", out.Code, out.Body)
				}
			}
		})
	}
	wg.Wait()
	if n := mcpserver.Listed(b.s); n != 256 {
		t.Errorf("%d forms are kept", n)
	}
}
