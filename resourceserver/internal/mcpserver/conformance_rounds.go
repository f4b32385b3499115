//go:build conformance

package mcpserver

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// stateKey signs the state of the fixtures' rounds.
var stateKey = []byte(rand.Text())

// state is what a fixture gets back with an answer.
type state struct {
	Kind  string `json:"kind"`
	Round int    `json:"round,omitempty"`
	Name  string `json:"name,omitempty"`
	Nonce string `json:"nonce"`
}

func (s state) sign() string {
	s.Nonce = rand.Text()
	b, _ := json.Marshal(s)
	return hex.EncodeToString(b) + "." + mac(b)
}

func mac(b []byte) string {
	h := hmac.New(sha256.New, stateKey)
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// opened is the state of a request, false if it is not one of ours.
func opened(sealed string) (s state, ok bool) {
	body, sum, _ := strings.Cut(sealed, ".")
	b, err := hex.DecodeString(body)
	if err != nil || !hmac.Equal([]byte(mac(b)), []byte(sum)) {
		return s, false
	}
	return s, json.Unmarshal(b, &s) == nil
}

func question(message, field, kind string) mcp.InputRequest {
	return mcp.NewElicitationInputRequest(mcp.ElicitationParams{Message: message, RequestedSchema: map[string]any{
		"type": "object", "properties": map[string]any{field: map[string]any{"type": kind}}, "required": []string{field},
	}})
}

// asks is a result that waits for answers.
func asks(requests mcp.InputRequests, sealed string) (*mcp.CallToolResult, error) {
	return &mcp.CallToolResult{Result: mcp.Result{ResultType: mcp.ResultTypeInputRequired}, MultiRoundTripResult: mcp.MultiRoundTripResult{InputRequests: requests, RequestState: sealed}}, nil
}

// field is what a person entered, false if they did not.
func field(answers mcp.InputResponses, question, name string) (string, bool) {
	r, ok := answers[question]
	if !ok || r.DecodeFor(mcp.MethodElicitationCreate) != nil || r.Elicitation == nil || r.Elicitation.Action != mcp.ElicitationResponseActionAccept {
		return "", false
	}
	content, _ := r.Elicitation.Content.(map[string]any)
	value, ok := content[name]
	return fmt.Sprint(value), ok
}

func sampled(answers mcp.InputResponses, question string) (string, bool) {
	r, ok := answers[question]
	if !ok || r.DecodeFor(mcp.MethodSamplingCreateMessage) != nil || r.Sampling == nil {
		return "", false
	}
	b, _ := json.Marshal(r.Sampling.Content)
	var content struct{ Text string }
	_ = json.Unmarshal(b, &content)
	return content.Text, true
}

func rooted(answers mcp.InputResponses, question string) (int, bool) {
	r, ok := answers[question]
	if !ok || r.DecodeFor(mcp.MethodListRoots) != nil || r.Roots == nil {
		return 0, false
	}
	return len(r.Roots.Roots), true
}

func capabilities(ctx context.Context) mcp.ClientCapabilities {
	if info := server.RequestProtocolInfoFromContext(ctx); info != nil && info.ClientCapabilities != nil {
		return *info.ClientCapabilities
	}
	return mcp.ClientCapabilities{}
}

// roundFixtures are tools and a prompt that wait for answers of the client (MCP
// 2026-07-28).
func roundFixtures(m *server.MCPServer) {
	round := func(name string, handle func(ctx context.Context, answers mcp.InputResponses, sealed string) (*mcp.CallToolResult, error)) {
		add(m, name, "Waits for the client.", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return handle(ctx, r.Params.InputResponses, r.Params.RequestState)
		})
	}
	round("test_input_required_result_elicitation", func(_ context.Context, answers mcp.InputResponses, _ string) (*mcp.CallToolResult, error) {
		if name, ok := field(answers, "user_name", "name"); ok {
			return says(text("Hello, %s!", name))
		}
		return asks(mcp.InputRequests{"user_name": question("What is your name?", "name", "string")}, "")
	})
	round("test_input_required_result_sampling", func(_ context.Context, answers mcp.InputResponses, _ string) (*mcp.CallToolResult, error) {
		if answer, ok := sampled(answers, "sample_request"); ok {
			return says(text("Sampling result: %s", answer))
		}
		return asks(mcp.InputRequests{"sample_request": mcp.NewSamplingInputRequest(sampling("What is the capital of France?", 100))}, "")
	})
	round("test_input_required_result_list_roots", func(_ context.Context, answers mcp.InputResponses, _ string) (*mcp.CallToolResult, error) {
		if n, ok := rooted(answers, "roots_request"); ok {
			return says(text("Found %d root(s)", n))
		}
		return asks(mcp.InputRequests{"roots_request": mcp.NewRootsInputRequest()}, "")
	})
	confirm := mcp.InputRequests{"confirm": question("Please confirm", "ok", "boolean")}
	round("test_input_required_result_request_state", func(_ context.Context, answers mcp.InputResponses, sealed string) (*mcp.CallToolResult, error) {
		s, ok := opened(sealed)
		if answer, given := field(answers, "confirm", "ok"); ok && s.Kind == "request-state" && given && answer == "true" {
			return says(text("state-ok: requestState validated"))
		}
		return asks(confirm, state{Kind: "request-state"}.sign())
	})
	round("test_input_required_result_tampered_state", func(_ context.Context, answers mcp.InputResponses, sealed string) (*mcp.CallToolResult, error) {
		if sealed == "" {
			return asks(confirm, state{Kind: "tamper-test"}.sign())
		}
		if s, ok := opened(sealed); !ok || s.Kind != "tamper-test" {
			return nil, errors.New("requestState integrity check failed")
		}
		if _, given := field(answers, "confirm", "ok"); !given {
			return asks(confirm, state{Kind: "tamper-test"}.sign())
		}
		return says(text("integrity-ok: state verified"))
	})
	round("test_input_required_result_multiple_inputs", func(_ context.Context, answers mcp.InputResponses, sealed string) (*mcp.CallToolResult, error) {
		s, ok := opened(sealed)
		name, named := field(answers, "user_name", "name")
		greeting, greeted := sampled(answers, "greeting")
		if n, listed := rooted(answers, "client_roots"); ok && s.Kind == "multiple-inputs" && named && greeted && listed {
			return says(text("Name: %s; Greeting: %s; Roots: %d", name, greeting, n))
		}
		return asks(mcp.InputRequests{
			"user_name": question("What is your name?", "name", "string"), "greeting": mcp.NewSamplingInputRequest(sampling("Generate a greeting", 50)),
			"client_roots": mcp.NewRootsInputRequest(),
		}, state{Kind: "multiple-inputs"}.sign())
	})
	round("test_input_required_result_multi_round", func(_ context.Context, answers mcp.InputResponses, sealed string) (*mcp.CallToolResult, error) {
		s, ok := opened(sealed)
		if name, given := field(answers, "step1", "name"); ok && s.Round == 1 && given {
			return asks(mcp.InputRequests{"step2": question("Step 2: What is your favorite color?", "color", "string")}, state{Kind: "multi-round", Round: 2, Name: name}.sign())
		}
		if color, given := field(answers, "step2", "color"); ok && s.Round == 2 && given {
			return says(text("Multi-round complete for %s who likes %s", s.Name, color))
		}
		return asks(mcp.InputRequests{"step1": question("Step 1: What is your name?", "name", "string")}, state{Kind: "multi-round", Round: 1}.sign())
	})
	round("test_input_required_result_capabilities", func(ctx context.Context, answers mcp.InputResponses, _ string) (*mcp.CallToolResult, error) {
		if len(answers) > 0 {
			return says(text("capabilities-ok"))
		}
		can, requests := capabilities(ctx), mcp.InputRequests{}
		if can.Elicitation != nil {
			requests["elicit_input"] = question("Elicitation input", "value", "string")
		}
		if can.Sampling != nil {
			requests["sample_input"] = mcp.NewSamplingInputRequest(sampling("Sample request", 50))
		}
		if len(requests) == 0 {
			return says(text("No supported capabilities declared"))
		}
		return asks(requests, state{Kind: "capabilities"}.sign())
	})
	add(m, "test_missing_capability", "Needs sampling.", func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if capabilities(ctx).Sampling == nil {
			return nil, mcp.MissingRequiredClientCapabilityError{Capability: "sampling"}
		}
		return says(text("Success"))
	})
	m.AddPrompt(mcp.NewPrompt("test_input_required_result_prompt", mcp.WithPromptDescription("A prompt that waits for the client.")),
		func(_ context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			if given, ok := field(r.Params.InputResponses, "user_context", "context"); ok {
				return &mcp.GetPromptResult{Messages: []mcp.PromptMessage{mcp.NewPromptMessage(mcp.RoleUser, text("Prompt with context: %s", given))}}, nil
			}
			return &mcp.GetPromptResult{Result: mcp.Result{ResultType: mcp.ResultTypeInputRequired}, MultiRoundTripResult: mcp.MultiRoundTripResult{
				InputRequests: mcp.InputRequests{"user_context": question("What context should the prompt use?", "context", "string")},
			}}, nil
		})
}
