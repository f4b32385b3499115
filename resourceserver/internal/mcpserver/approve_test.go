package mcpserver_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

// older is a call of MCP 2025-11-25; headers are name, value pairs.
func (b *bench) older(token, name, arguments string, headers ...string) answer {
	b.t.Helper()
	w := b.post(token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`","arguments":`+arguments+`}}`, append([]string{"MCP-Protocol-Version", "2025-11-25"}, headers...)...)
	a := answer{Status: w.Code}
	if err := json.Unmarshal(w.Body.Bytes(), &a); w.Code == http.StatusOK && err != nil {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return a
}

func (a answer) link() string {
	link, _ := a.Result.StructuredContent["link"].(string)
	return link
}

// TestApprove: decision 0022: where the client cannot ask, an act happens once after
// the person's word for exactly it on their page, and in every other state it does not.
func TestApprove(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	world := "as it was"
	b := newBench(t, byClient, act(t, "test_act", &done, &world), act(t, "test_other", &done, &world))
	mine := b.token("alice", "g1")
	const args = `{"what":"x"}`
	asked := func(what string, a answer) string {
		t.Helper()
		if a.code() != "confirmation_required" || !a.Result.IsError || a.Result.StructuredContent["retryable"] != false || a.link() == "" {
			t.Fatalf("%s: the person is not asked: %+v", what, a)
		}
		return a.link()
	}
	link := asked("first", b.older(mine, "test_act", args))
	if shown := b.page.Shown(link); shown.Tool != "test_act" || shown.Question != "Do x?" {
		t.Errorf("shown: %+v", shown)
	}
	// Nobody has said anything, however often and with whatever it is asked.
	asked("again", b.older(mine, "test_act", args))
	asked("by another revision", b.modern(mine, round{name: "test_act", arguments: args}))
	asked("with a word of its own", b.modern(mine, round{name: "test_act", arguments: args, capabilities: `{"url":{}}`, responses: `{"approve":{"action":"accept","content":{"status":"approved"}}}`}))
	if a := b.older(mine, "test_act", `{"what":"x","confirm":true}`); a.code() != "invalid_argument" {
		t.Errorf("the model confirms by arguments: %+v", a)
	}

	// The word is about this and about nothing else: each of these is another question.
	b.page.Say(link, exchange.Approved)
	links := map[string]string{}
	for name, a := range map[string]answer{
		"another person":   b.older(b.token("bob", "g1"), "test_act", args),
		"another grant":    b.older(b.token("alice", "g2"), "test_act", args),
		"another tool":     b.older(mine, "test_other", args),
		"another argument": b.older(mine, "test_act", `{"what":"y"}`),
		"an argument more": b.older(mine, "test_act", `{"what":"x","more":"z"}`),
	} {
		links[name] = asked(name, a)
	}
	world = "changed meanwhile"
	links["what is shown"] = asked(world, b.older(mine, "test_act", args))
	world = "as it was"
	digests := map[string]string{}
	for name, l := range links {
		digest := b.page.Shown(l).Digest
		if was, ok := digests[digest]; ok || l == link {
			t.Errorf("%s is asked as %s is", name, was)
		}
		digests[digest] = name
	}
	if n := done.Load(); n != 0 {
		t.Fatalf("%d acts without a word", n)
	}

	// The arguments in another order and spacing are the same arguments.
	if a := b.older(mine, "test_act", ` { "what" : "x" } `); a.code() != "" || a.Result.StructuredContent["done"] != true || done.Load() != 1 {
		t.Fatalf("approved: %+v", a)
	}
	again := asked("used up", b.older(mine, "test_act", args))
	b.page.Say(again, exchange.Declined)
	if a := b.older(mine, "test_act", args); a.code() != "declined" || a.link() != "" {
		t.Errorf("declined: %+v", a)
	}
	if later := asked("after a no", b.older(mine, "test_act", args)); later == again || done.Load() != 1 {
		t.Error("a no is forgotten")
	}
}

// TestApproveRefused: DESIGN §1.5: what is not the word approved of a server that is
// well is none: nothing is done, also of what was approved, and an outage is no
// reason to sign in again.
func TestApproveRefused(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	world := ""
	b := newBench(t, byClient, act(t, "test_act", &done, &world))
	mine := b.token("alice", "g1")
	b.page.Say(b.older(mine, "test_act", `{"what":"x"}`).link(), exchange.Approved)
	for name, c := range map[string]struct {
		status    int
		body      string
		want      int // of HTTP
		code      string
		retryable bool
	}{
		"away":                 {502, "<html>", 200, "temporarily_unavailable", true},
		"an older server":      {404, "404 page not found", 200, "temporarily_unavailable", true},
		"no status":            {200, `{}`, 200, "temporarily_unavailable", true},
		"nearly the word":      {200, `{"status":"Approved"}`, 200, "temporarily_unavailable", true},
		"pending without page": {200, `{"status":"pending","expires_in":600}`, 200, "temporarily_unavailable", true},
		"an error with a word": {503, `{"status":"approved","error":"temporarily_unavailable"}`, 200, "temporarily_unavailable", true},
		"too many":             {429, `{"error":"slow_down","retry_after":7}`, 200, "rate_limited", true},
		"a revoked grant":      {400, `{"error":"invalid_grant"}`, 401, "", false},
		"a key that is wrong":  {401, `{"error":"invalid_client"}`, 500, "", false},
	} {
		b.page.Instead(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		a := b.older(mine, "test_act", `{"what":"x"}`)
		retryable, _ := a.Result.StructuredContent["retryable"].(bool)
		if a.Status != c.want || a.code() != c.code || retryable != c.retryable || a.link() != "" || done.Load() != 0 {
			t.Errorf("%s: %+v, %d acts", name, a, done.Load())
		}
		if message, _ := a.Result.StructuredContent["message"].(string); c.code == "temporarily_unavailable" && !strings.Contains(message, "nothing was done") {
			t.Errorf("%s: %s", name, message)
		}
	}
	b.page.Instead(nil)
	if a := b.older(mine, "test_act", `{"what":"x"}`); a.code() != "" || done.Load() != 1 {
		t.Errorf("well again: %+v", a)
	}
}

// TestApproveByForms: who can be asked by forms is, and no page stands beside it.
func TestApproveByForms(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	world := ""
	b := newBench(t, byClient, act(t, "test_act", &done, &world))
	mine := b.token("alice", "g1")
	call := round{name: "test_act", arguments: `{"what":"x"}`, capabilities: `{"form":{},"url":{}}`}
	if call.state = b.modern(mine, call).Result.RequestState; call.state == "" {
		t.Fatal("not asked")
	}
	call.responses = `{"approve":{"action":"accept"}}`
	if a := b.modern(mine, call); a.Result.ResultType != "input_required" || a.Result.InputRequests["confirm"].Params.Mode != "form" || done.Load() != 0 {
		t.Errorf("an answer to what was not asked: %+v", a)
	}
	call.responses = accept
	if a := b.modern(mine, call); a.code() != "" || done.Load() != 1 {
		t.Errorf("%+v", a)
	}
	if n := b.page.Asked(); n != 0 {
		t.Errorf("the authorization server was asked %d times", n)
	}
}

// TestApproveOnPageOnly: where the operator takes no client's word, one that can ask,
// or says so, confirms nothing: neither unasked nor with the state of a question that
// was asked before. The person does, on their page.
func TestApproveOnPageOnly(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	world := ""
	b := newBench(t, policy.Policy{}, act(t, "test_act", &done, &world))
	mine := b.token("alice", "g1")
	asked := newBench(t, byClient, act(t, "test_act", &done, &world))
	call := round{name: "test_act", arguments: `{"what":"x"}`, capabilities: `{"form":{}}`}
	state := asked.modern(asked.token("alice", "g1"), call).Result.RequestState
	if state == "" {
		t.Fatal("not asked")
	}
	var link string
	for what, c := range map[string]round{"first": call, "answered": {name: call.name, arguments: call.arguments, capabilities: call.capabilities, responses: accept, state: state}, "unasked": {name: call.name, arguments: call.arguments, capabilities: call.capabilities, responses: accept}} {
		a := b.modern(mine, c)
		if link = a.link(); a.code() != "confirmation_required" || link == "" || done.Load() != 0 {
			t.Fatalf("%s: %+v", what, a)
		}
	}
	call.capabilities = `{"form":{},"url":{}}`
	if a := b.modern(mine, call); a.Result.InputRequests["approve"].Params.URL != link {
		t.Errorf("a client with pages: %+v", a)
	}
	b.page.Say(link, exchange.Approved)
	if a := b.modern(mine, call); a.code() != "" || done.Load() != 1 {
		t.Errorf("approved: %+v", a)
	}
}

// TestApproveOffered: a client that can open pages gets the page in the form of its
// revision; that it was opened is no word, that it was not wanted is one.
func TestApproveOffered(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	world := ""
	b := newBench(t, byClient, act(t, "test_act", &done, &world))
	mine := b.token("alice", "g1")
	call := round{name: "test_act", arguments: `{"what":"x"}`, capabilities: `{"url":{}}`}
	a := b.modern(mine, call)
	q := a.Result.InputRequests["approve"].Params
	if a.Result.ResultType != "input_required" || q.Mode != "url" || b.page.Shown(q.URL).Question != "Do x?" || strings.Contains(q.Message, "Do x") || !strings.Contains(q.Message, "test_act") {
		t.Fatalf("2026-07-28: %+v", a)
	}
	opened := call
	opened.responses = `{"approve":{"action":"accept"}}`
	if a := b.modern(mine, opened); a.code() != "confirmation_required" || a.link() != q.URL || done.Load() != 0 {
		t.Errorf("opened only: %+v", a)
	}
	for _, action := range []string{"decline", "cancel", "ACCEPT"} {
		before := b.page.Asked()
		unwanted := call
		unwanted.responses = `{"approve":{"action":"` + action + `"}}`
		if a := b.modern(mine, unwanted); a.code() != "declined" || b.page.Asked() != before {
			t.Errorf("%s: %+v", action, a)
		}
	}
	b.page.Say(q.URL, exchange.Approved)
	if a := b.modern(mine, opened); a.code() != "" || done.Load() != 1 {
		t.Errorf("approved: %+v", a)
	}

	session := b.initialize(mine, `"elicitation":{"url":{}}`)
	a = b.older(mine, "test_act", `{"what":"x"}`, "Mcp-Session-Id", session)
	var data struct {
		Elicitations []struct{ Mode, URL, ElicitationID, Message string }
	}
	if err := json.Unmarshal(a.Error.Data, &data); err != nil || a.Error.Code != -32042 || len(data.Elicitations) != 1 || data.Elicitations[0].Mode != "url" || data.Elicitations[0].ElicitationID == "" {
		t.Fatalf("2025-11-25: %+v %s", a, a.Error.Data)
	}
	b.page.Say(data.Elicitations[0].URL, exchange.Approved)
	if a := b.older(mine, "test_act", `{"what":"x"}`, "Mcp-Session-Id", session); a.Error.Code != 0 || done.Load() != 2 {
		t.Errorf("2025-11-25, approved: %+v", a)
	}
	if a := b.older(mine, "test_act", `{"what":"x"}`, "Mcp-Session-Id", session); a.Error.Code != -32042 || done.Load() != 2 {
		t.Errorf("2025-11-25, used up: %+v", a)
	}
}

// TestApproveTooLong: what is not shown as a whole is not asked.
func TestApproveTooLong(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	world := ""
	b := newBench(t, byClient, act(t, "test_act", &done, &world))
	mine := b.token("alice", "g1")
	fits := strings.Repeat("ü", (exchange.MaxQuestion-len("Do ?"))/2)
	if a := b.older(mine, "test_act", `{"what":"`+fits+`"}`); a.code() != "confirmation_required" || len(b.page.Shown(a.link()).Question) != exchange.MaxQuestion {
		t.Errorf("the longest: %v", a.code())
	}
	if a := b.older(mine, "test_act", `{"what":"`+fits+`x"}`); a.code() != "confirmation_unavailable" || b.page.Asked() != 1 || done.Load() != 0 {
		t.Errorf("longer: %v", a.code())
	}
}

// TestWaiveAsksNobody: a call of a tool that asks, which needs no word, costs no
// request to the authorization server.
func TestWaiveAsksNobody(t *testing.T) {
	t.Parallel()
	d := description("test_waives")
	d.Hints, d.Asks = tool.Destroy, true
	made, err := tool.New(d, func(ctx context.Context, _ actInput) (tool.Output[actOutput], error) {
		elicit.Waive(ctx)
		return tool.Output[actOutput]{Value: actOutput{Done: tool.MayAct(ctx)}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, byClient, made)
	if a := b.older(b.token("alice", "g1"), "test_waives", `{"what":"x"}`); a.Result.StructuredContent["done"] != true || b.page.Asked() != 0 {
		t.Errorf("%+v, asked %d times", a, b.page.Asked())
	}
}

// TestApproveAccount: the word is for the Google account that was meant, also where
// the call names none and another one is taken for it meanwhile.
func TestApproveAccount(t *testing.T) {
	t.Parallel()
	account := "acc_1"
	d := description("test_mails")
	d.Hints, d.Asks = tool.Destroy, true
	made, err := tool.New(d, func(ctx context.Context, _ actInput) (tool.Output[actOutput], error) {
		elicit.Using(ctx, account)
		return tool.Output[actOutput]{Value: actOutput{Done: true}}, elicit.Confirm(ctx, elicit.Act{Question: "Do it?"})
	})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, byClient, made)
	call := func() answer { return b.older(b.token("alice", "g1"), "test_mails", `{"what":"x"}`) }
	b.page.Say(call().link(), exchange.Approved)
	account = "acc_2"
	a := call()
	if a.code() != "confirmation_required" || b.page.Shown(a.link()).Account != "acc_2" {
		t.Errorf("another account: %+v", a)
	}
	account = "acc_1"
	if a := call(); a.Result.StructuredContent["done"] != true {
		t.Errorf("that account: %+v", a)
	}
}
