package mcpserver_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/tool"
)

type actInput struct {
	What string `json:"what"`
	More string `json:"more,omitempty"`
}

type actOutput struct {
	Done bool `json:"done"`
}

// act is a tool that counts what was confirmed. binding is what the world looks
// like when it runs.
func act(t *testing.T, name string, done *atomic.Int64, binding *string) *tool.Tool {
	t.Helper()
	d := description(name)
	d.Hints, d.Asks = tool.Destroy, true
	made, err := tool.New(d, func(ctx context.Context, in actInput) (tool.Output[actOutput], error) {
		if tool.MayAct(ctx) {
			t.Error("Google would take it before anybody was asked")
		}
		if err := elicit.Confirm(ctx, elicit.Act{Question: "Do " + in.What + "?", Binding: *binding}); err != nil {
			return tool.Output[actOutput]{}, err
		}
		if !tool.MayAct(ctx) {
			t.Error("it may not act although the person confirmed")
		}
		done.Add(1)
		return tool.Output[actOutput]{Value: actOutput{Done: true}, Text: "done"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// answer is what a tools/call was answered.
type answer struct {
	Status int
	Result struct {
		ResultType        string
		RequestState      string
		IsError           bool
		StructuredContent map[string]any
		InputRequests     map[string]struct {
			Method string
			Params struct {
				Mode, Message, URL string
				RequestedSchema    json.RawMessage
			}
		}
	}
	Error struct {
		Code int
		Data json.RawMessage
	}
}

func (a answer) code() string {
	code, _ := a.Result.StructuredContent["code"].(string)
	return code
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// round is a call of MCP 2026-07-28 with answers of the person.
type round struct {
	name, arguments string
	capabilities    string // of elicitation, e.g. {"form":{}}; "" for none
	state           string
	responses       string // JSON of inputResponses; "" for none
}

func (b *bench) modern(token string, r round) answer {
	b.t.Helper()
	capabilities, more := `{}`, ""
	if r.capabilities != "" {
		capabilities = `{"elicitation":` + r.capabilities + `}`
	}
	if r.state != "" {
		s, _ := json.Marshal(r.state)
		more += `,"requestState":` + string(s)
	}
	if r.responses != "" {
		more += `,"inputResponses":` + r.responses
	}
	w := b.post(token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+r.name+`","arguments":`+r.arguments+more+
		`,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":`+capabilities+`}}}`,
		"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", r.name)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
	a.Status = w.Code
	return a
}

const (
	form   = `{"form":{}}`
	accept = `{"confirm":{"action":"accept","content":{}}}`
)

// TestConfirm: an act happens after the person's word for exactly it, and every
// other state is refused (MCP 2026-07-28, multi round-trip requests: integrity,
// principal, expiry, request digest).
func TestConfirm(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	world := "as it was"
	b := newBench(t, byClient, act(t, "test_act", &done, &world), act(t, "test_other", &done, &world))
	mine := b.token("alice", "g1")
	ask := func(name, arguments string) string {
		a := b.modern(mine, round{name: name, arguments: arguments, capabilities: form})
		q := a.Result.InputRequests["confirm"]
		if a.Result.ResultType != "input_required" || q.Method != "elicitation/create" || q.Params.Message != "Do x?" || a.Result.RequestState == "" {
			t.Fatalf("not asked: %+v", a)
		}
		return a.Result.RequestState
	}
	const args = `{"what":"x"}`
	state := ask("test_act", args)
	if done.Load() != 0 {
		t.Fatal("it was done before anybody answered")
	}
	call := func(change func(*round)) round {
		r := round{name: "test_act", arguments: args, capabilities: form, state: state, responses: accept}
		if change != nil {
			change(&r)
		}
		return r
	}
	foreign := newBench(t, byClient, act(t, "test_act", &done, &world))
	theirs := foreign.modern(foreign.token("alice", "g1"), round{name: "test_act", arguments: args, capabilities: form}).Result.RequestState
	for name, c := range map[string]struct {
		token  string
		change func(*round)
		code   string
	}{
		"no state":                        {mine, func(r *round) { r.state = "" }, "confirmation_invalid"},
		"made up":                         {mine, func(r *round) { r.state = "e30" }, "confirmation_invalid"},
		"of another server's key":         {mine, func(r *round) { r.state = theirs }, "confirmation_invalid"},
		"a character changed":             {mine, func(r *round) { r.state = flip(state[0]) + state[1:] }, "confirmation_invalid"},
		"another person":                  {b.token("bob", "g1"), nil, "confirmation_invalid"},
		"another grant of the person":     {b.token("alice", "g2"), nil, "confirmation_invalid"},
		"another tool":                    {mine, func(r *round) { r.name = "test_other" }, "confirmation_invalid"},
		"another argument":                {mine, func(r *round) { r.arguments = `{"what":"y"}` }, "confirmation_invalid"},
		"an argument more":                {mine, func(r *round) { r.arguments = `{"what":"x","more":"z"}` }, "confirmation_invalid"},
		"declined":                        {mine, func(r *round) { r.responses = `{"confirm":{"action":"decline"}}` }, "declined"},
		"cancelled":                       {mine, func(r *round) { r.responses = `{"confirm":{"action":"cancel"}}` }, "declined"},
		"an action that there is not":     {mine, func(r *round) { r.responses = `{"confirm":{"action":"ACCEPT"}}` }, "declined"},
		"an answer of another form":       {mine, func(r *round) { r.responses = `{"confirm":["accept"]}` }, "declined"},
		"accepted in the content only":    {mine, func(r *round) { r.responses = `{"confirm":{"action":"decline","content":{"confirm":true}}}` }, "declined"},
		"the model confirms by arguments": {mine, func(r *round) { r.arguments, r.state, r.responses = `{"what":"x","confirm":true}`, "", "" }, "invalid_argument"},
	} {
		if a := b.modern(c.token, call(c.change)); a.code() != c.code {
			t.Errorf("%s: %+v", name, a)
		}
	}
	world = "changed meanwhile"
	if a := b.modern(mine, call(nil)); a.code() != "confirmation_invalid" {
		t.Errorf("what was shown is no longer so: %+v", a)
	}
	world = "as it was"
	if n := done.Load(); n != 0 {
		t.Fatalf("%d acts without a confirmation", n)
	}
	// The arguments in another order and spacing are the same arguments.
	if a := b.modern(mine, call(func(r *round) { r.arguments = ` { "what" : "x" } ` })); a.code() != "" || done.Load() != 1 {
		t.Errorf("confirmed: %+v", a)
	}
	if a := b.modern(mine, call(nil)); a.code() != "confirmation_invalid" || done.Load() != 1 {
		t.Errorf("used twice: %+v", a)
	}
	late := ask("test_act", args)
	b.clock = b.clock.Add(elicit.Lifetime)
	if a := b.modern(mine, call(func(r *round) { r.state = late })); a.code() != "confirmation_invalid" || done.Load() != 1 {
		t.Errorf("after five minutes: %+v", a)
	}
}

// TestConfirmOnce: of sixteen that bring the same confirmation one acts.
func TestConfirmOnce(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	world := ""
	b := newBench(t, byClient, act(t, "test_act", &done, &world))
	token := b.token("alice", "g1")
	state := b.modern(token, round{name: "test_act", arguments: `{"what":"x"}`, capabilities: form}).Result.RequestState
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			b.modern(token, round{name: "test_act", arguments: `{"what":"x"}`, capabilities: form, state: state, responses: accept})
		})
	}
	wg.Wait()
	if n := done.Load(); n != 1 {
		t.Errorf("%d acts", n)
	}
}

// TestCannotAsk: a client that cannot show a question confirms nothing, whatever
// it sends; TestApprove is about what it can.
func TestCannotAsk(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	world := ""
	b := newBench(t, byClient, act(t, "test_act", &done, &world))
	token := b.token("alice", "g1")
	for name, capabilities := range map[string]string{"no elicitation": "", "pages only": `{"url":{}}`} {
		if a := b.modern(token, round{name: "test_act", arguments: `{"what":"x"}`, capabilities: capabilities, state: "x", responses: accept}); a.code() != "confirmation_invalid" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for name, more := range map[string]string{"plain": "", "with an answer": `,"requestState":"x","inputResponses":` + accept} {
		w := b.post(token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"test_act","arguments":{"what":"x"}`+more+`}}`, "MCP-Protocol-Version", "2025-11-25")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"isError":true`) || !strings.Contains(w.Body.String(), "confirmation_") {
			t.Errorf("2025-11-25, %s: %d %s", name, w.Code, w.Body)
		}
	}
	if a := b.modern(token, round{name: "test_act", arguments: `{"what":"x"}`, capabilities: `{}`}); a.Result.ResultType != "input_required" {
		t.Errorf("an empty capability means forms: %+v", a)
	}
	if done.Load() != 0 {
		t.Error("it was done")
	}
}

// blocked is a tool whose connection needs the person.
func blocked(t *testing.T, e *tool.Error) *tool.Tool {
	t.Helper()
	made, err := tool.New(description("test_blocked"), func(ctx context.Context, _ actInput) (tool.Output[actOutput], error) {
		if elicit.Account(ctx) == "acc_2" {
			return tool.Output[actOutput]{Value: actOutput{Done: true}, Text: "done"}, nil
		}
		return tool.Output[actOutput]{}, e
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestConnect: the page of a broken connection is offered where the client can,
// in the form of its revision, and is text for every other client; accepting to
// open it proves nothing.
func TestConnect(t *testing.T) {
	t.Parallel()
	const page = "https://auth.example.com/connect/1"
	b := newBench(t, byClient, blocked(t, &tool.Error{Code: tool.CodeReconnect, Message: "The connection to Google has ended.", Link: page}))
	token := b.token("alice", "g1")
	call := round{name: "test_blocked", arguments: `{"what":"x"}`, capabilities: `{"url":{}}`}
	a := b.modern(token, call)
	if q := a.Result.InputRequests["connect"].Params; q.Mode != "url" || q.URL != page {
		t.Errorf("2026-07-28: %+v", a)
	}
	call.responses = `{"connect":{"action":"accept"}}`
	if a := b.modern(token, call); a.code() != "reconnect_required" || a.Result.StructuredContent["link"] != page {
		t.Errorf("accepted but not connected: %+v", a)
	}
	call.capabilities, call.responses = form, ""
	if a := b.modern(token, call); a.code() != "reconnect_required" {
		t.Errorf("forms only: %+v", a)
	}
	older := func(session, token string) string {
		return b.post(token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"test_blocked","arguments":{"what":"x"}}}`, "MCP-Protocol-Version", "2025-11-25", "Mcp-Session-Id", session).Body.String()
	}
	session := b.initialize(token, `"elicitation":{"url":{}}`)
	if body := older(session, token); !strings.Contains(body, "-32042") || !strings.Contains(body, page) {
		t.Errorf("2025-11-25: %s", body)
	}
	if body := older(session, b.token("alice", "g2")); !strings.Contains(body, "-32042") {
		t.Errorf("after a step-up: %s", body)
	}
	if none := b.initialize(token, `"elicitation":{}`); none != "" {
		t.Error("a session for nothing")
	}
	for name, body := range map[string]string{
		"no session":              older("", token),
		"made up":                 older("mcp-session-1", token),
		"somebody else's session": older(session, b.token("bob", "g2")),
		"another app's session":   older(session, b.tokenOf("d", "alice", "g1")),
	} {
		if strings.Contains(body, "-32042") || !strings.Contains(body, "reconnect_required") || !strings.Contains(body, page) {
			t.Errorf("%s: %s", name, body)
		}
	}
	b.clock = b.clock.Add(25 * time.Hour)
	if body := older(session, token); strings.Contains(body, "-32042") {
		t.Errorf("a session of yesterday: %s", body)
	}
}

// TestChooseAccount: the person is asked which of several accounts, and the
// answer is used in the same call.
func TestChooseAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t, byClient, blocked(t, &tool.Error{Code: tool.CodeAccountSelection, Message: "Several.", Accounts: []tool.Choice{{Handle: "acc_1", Label: "work"}, {Handle: "acc_2", Label: "home"}}}))
	token := b.token("alice", "g1")
	call := round{name: "test_blocked", arguments: `{"what":"x"}`, capabilities: form}
	a := b.modern(token, call)
	if q := a.Result.InputRequests["account"].Params; !strings.Contains(string(q.RequestedSchema), `{"const":"acc_2","title":"home"}`) {
		t.Errorf("%+v", a)
	}
	for responses, code := range map[string]string{
		`{"account":{"action":"accept","content":{"account":"acc_2"}}}`:  "",
		`{"account":{"action":"accept","content":{"account":"acc_9"}}}`:  "account_selection_required",
		`{"account":{"action":"decline","content":{"account":"acc_2"}}}`: "account_selection_required",
		`{"account":{"action":"accept"}}`:                                "account_selection_required",
	} {
		call.responses = responses
		if a := b.modern(token, call); a.code() != code || a.Result.ResultType == "input_required" {
			t.Errorf("%s: %+v", responses, a)
		}
	}
	call.capabilities, call.responses = "", ""
	if a := b.modern(token, call); a.code() != "account_selection_required" {
		t.Errorf("a client that cannot ask: %+v", a)
	}
}
