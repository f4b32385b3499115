//go:build conformance

package mcpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// This build is for the official conformance suite alone and is never shipped:
// beside the tools for people the server has those the suite calls by name, and
// streams and sessions, which they need. Everything in front of it (token, Host,
// Origin, limits) and the library with its settings are the shipped ones.

var transport = []server.StreamableHTTPOption{}

const sessions = true

const (
	onePixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	silence  = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
)

// fixtures adds what the suite calls.
func fixtures(m *server.MCPServer) {
	for _, option := range []server.ServerOption{
		server.WithLogging(), server.WithElicitation(), server.WithRoots(), server.WithResourceCapabilities(true, true), server.WithToolCapabilities(true), server.WithPromptCapabilities(true),
	} {
		option(m)
	}
	m.EnableSampling()
	contentFixtures(m)
	talkFixtures(m)
	roundFixtures(m)
	resourceFixtures(m)
	promptFixtures(m)
}

type fixture = func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error)

// object is the schema of a tool's arguments, all of them texts.
func object(names ...string) json.RawMessage {
	properties := map[string]any{}
	for _, n := range names {
		properties[n] = map[string]any{"type": "string"}
	}
	b, _ := json.Marshal(map[string]any{"type": "object", "properties": properties, "required": append([]string{}, names...)})
	return b
}

func add(m *server.MCPServer, name, description string, handle fixture, arguments ...string) {
	m.AddTool(mcp.NewToolWithRawSchema(name, description, object(arguments...)), handle)
}

func says(content ...mcp.Content) (*mcp.CallToolResult, error) {
	return &mcp.CallToolResult{Content: content}, nil
}

func text(format string, args ...any) mcp.Content {
	return mcp.NewTextContent(fmt.Sprintf(format, args...))
}

func embedded(uri, kind, body string) mcp.Content {
	return mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: uri, MIMEType: kind, Text: body})
}

func contentFixtures(m *server.MCPServer) {
	constant := func(name, description string, content ...mcp.Content) {
		add(m, name, description, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return says(content...) })
	}
	constant("test_simple_text", "Answers a text.", text("This is a simple text response for testing."))
	constant("test_image_content", "Answers an image.", mcp.NewImageContent(onePixel, "image/png"))
	constant("test_audio_content", "Answers a sound.", mcp.NewAudioContent(silence, "audio/wav"))
	constant("test_embedded_resource", "Answers a resource.", embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))
	constant("test_multiple_content_types", "Answers a text, an image and a resource.", text("Multiple content types test:"), mcp.NewImageContent(onePixel, "image/png"),
		embedded("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`))
	add(m, "test_error_handling", "Fails.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("This tool intentionally returns an error for testing"), nil
	})
	m.AddTool(mcp.NewToolWithRawSchema("json_schema_2020_12_tool", "Has a schema with words of JSON Schema 2020-12.", json.RawMessage(`{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
		"$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
		"properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}, "contactMethod": {"type": "string", "enum": ["phone", "email"]},
			"phone": {"type": "string"}, "email": {"type": "string"}},
		"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
		"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]}, "then": {"required": ["phone"]}, "else": {"required": ["email"]},
		"additionalProperties": false}`)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return says(text("called")) })
}

// talkFixtures are tools that talk to the client while they run.
func talkFixtures(m *server.MCPServer) {
	log := func(ctx context.Context, line string) error {
		return m.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(mcp.LoggingLevelInfo, "conformance", line))
	}
	add(m, "test_tool_with_logging", "Logs three lines.", func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for _, line := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
			if err := log(ctx, line); err != nil {
				return nil, err
			}
			time.Sleep(50 * time.Millisecond) // as the suite prescribes
		}
		return says(text("Tool with logging executed successfully"))
	})
	add(m, "test_logging_tool", "Logs if the request asks for it.", func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if err := log(ctx, "Diagnostic trace logging activated"); err != nil {
			return nil, err
		}
		return says(text("Logging evaluated"))
	})
	progress := func(ctx context.Context, r mcp.CallToolRequest, steps ...float64) error {
		var token any = 0
		if r.Params.Meta != nil && r.Params.Meta.ProgressToken != nil {
			token = r.Params.Meta.ProgressToken
		}
		for _, at := range steps {
			if err := m.SendNotificationToClient(ctx, "notifications/progress", map[string]any{
				"progressToken": token, "progress": at, "total": 100.0, "message": fmt.Sprintf("Completed step %v of 100", at),
			}); err != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
		return nil
	}
	add(m, "test_tool_with_progress", "Reports progress three times.", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if err := progress(ctx, r, 0, 50, 100); err != nil {
			return nil, err
		}
		return says(text("done"))
	})
	add(m, "test_streaming_elicitation", "Reports progress once.", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if err := progress(ctx, r, 50); err != nil {
			return nil, err
		}
		return says(text("Streaming complete"))
	})
	add(m, "test_sampling", "Asks the client's model.", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		got, err := m.RequestSampling(ctx, mcp.CreateMessageRequest{CreateMessageParams: sampling(r.GetString("prompt", ""), 100)})
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(got.Content)
		if err != nil {
			return nil, err
		}
		var answer struct{ Text string }
		if err := json.Unmarshal(b, &answer); err != nil {
			return nil, err
		}
		return says(text("LLM response: %s", answer.Text))
	}, "prompt")
	ask := func(name, description, prefix string, schema func(r mcp.CallToolRequest) (message, properties string), arguments ...string) {
		add(m, name, description, func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			message, wanted := schema(r)
			got, err := m.RequestElicitation(ctx, mcp.ElicitationRequest{Params: mcp.ElicitationParams{Message: message, RequestedSchema: json.RawMessage(wanted)}})
			if err != nil {
				return nil, err
			}
			content, err := json.Marshal(got.Content)
			if err != nil {
				return nil, err
			}
			return says(text("%s: action=%s, content=%s", prefix, got.Action, content))
		}, arguments...)
	}
	ask("test_elicitation", "Asks the person.", "User response", func(r mcp.CallToolRequest) (string, string) {
		return r.GetString("message", ""), `{"type":"object","properties":{"response":{"type":"string","description":"User's response"}},"required":["response"]}`
	}, "message")
	ask("test_elicitation_sep1034_defaults", "Asks with defaults.", "Elicitation completed", func(mcp.CallToolRequest) (string, string) {
		return "Please review the fields", `{"type":"object","properties":{"name":{"type":"string","default":"John Doe"},"age":{"type":"integer","default":30},
			"score":{"type":"number","default":95.5},"status":{"type":"string","enum":["active","inactive","pending"],"default":"active"},"verified":{"type":"boolean","default":true}},"required":[]}`
	})
	ask("test_elicitation_sep1330_enums", "Asks with choices.", "Elicitation completed", func(mcp.CallToolRequest) (string, string) {
		return "Please choose", `{"type":"object","properties":{
			"untitledSingle":{"type":"string","enum":["option1","option2","option3"]},
			"titledSingle":{"type":"string","oneOf":[{"const":"value1","title":"First Option"},{"const":"value2","title":"Second Option"},{"const":"value3","title":"Third Option"}]},
			"legacyEnum":{"type":"string","enum":["opt1","opt2","opt3"],"enumNames":["Option One","Option Two","Option Three"]},
			"untitledMulti":{"type":"array","minItems":1,"maxItems":3,"items":{"type":"string","enum":["option1","option2","option3"]}},
			"titledMulti":{"type":"array","minItems":1,"maxItems":3,"items":{"anyOf":[{"const":"value1","title":"First Choice"},{"const":"value2","title":"Second Choice"},{"const":"value3","title":"Third Choice"}]}}},"required":[]}`
	})
	for name, notification := range map[string]string{"test_trigger_tool_change": "notifications/tools/list_changed", "test_trigger_prompt_change": "notifications/prompts/list_changed"} {
		add(m, name, "Says that a list has changed.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			m.SendNotificationToAllClients(notification, nil)
			return says(text("Mutation triggered"))
		})
	}
}

func sampling(prompt string, most int) mcp.CreateMessageParams {
	return mcp.CreateMessageParams{MaxTokens: most, Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(prompt)}}}
}

func resourceFixtures(m *server.MCPServer) {
	constant := func(uri, name, kind string, contents mcp.ResourceContents) {
		m.AddResource(mcp.NewResource(uri, name, mcp.WithResourceDescription(name), mcp.WithMIMEType(kind)),
			func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
				return []mcp.ResourceContents{contents}, nil
			})
	}
	constant("test://static-text", "static-text", "text/plain", mcp.TextResourceContents{URI: "test://static-text", MIMEType: "text/plain", Text: "This is the content of the static text resource."})
	constant("test://static-binary", "static-binary", "image/png", mcp.BlobResourceContents{URI: "test://static-binary", MIMEType: "image/png", Blob: onePixel})
	constant("test://watched-resource", "watched-resource", "text/plain", mcp.TextResourceContents{URI: "test://watched-resource", MIMEType: "text/plain", Text: "Watched resource content"})
	m.AddResourceTemplate(mcp.NewResourceTemplate("test://template/{id}/data", "template", mcp.WithTemplateMIMEType("application/json")),
		func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			var id string
			if n, err := fmt.Sscanf(r.Params.URI, "test://template/%s", &id); n != 1 || err != nil || len(id) < len("/data") {
				return nil, errors.New("no such resource")
			}
			id = id[:len(id)-len("/data")]
			b, err := json.Marshal(map[string]any{"id": id, "templateTest": true, "data": "Data for ID: " + id})
			return []mcp.ResourceContents{mcp.TextResourceContents{URI: r.Params.URI, MIMEType: "application/json", Text: string(b)}}, err
		})
}

func promptFixtures(m *server.MCPServer) {
	prompt := func(p mcp.Prompt, messages func(r mcp.GetPromptRequest) []mcp.PromptMessage) {
		m.AddPrompt(p, func(_ context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return &mcp.GetPromptResult{Messages: messages(r)}, nil
		})
	}
	user := func(content ...mcp.Content) (out []mcp.PromptMessage) {
		for _, c := range content {
			out = append(out, mcp.NewPromptMessage(mcp.RoleUser, c))
		}
		return out
	}
	prompt(mcp.NewPrompt("test_simple_prompt", mcp.WithPromptDescription("A prompt without arguments.")), func(mcp.GetPromptRequest) []mcp.PromptMessage {
		return user(text("This is a simple prompt for testing."))
	})
	prompt(mcp.NewPrompt("test_prompt_with_arguments", mcp.WithPromptDescription("A prompt with arguments."), mcp.WithArgument("arg1", mcp.ArgumentDescription("first"), mcp.RequiredArgument()),
		mcp.WithArgument("arg2", mcp.ArgumentDescription("second"), mcp.RequiredArgument())), func(r mcp.GetPromptRequest) []mcp.PromptMessage {
		return user(text("Prompt with arguments: arg1='%s', arg2='%s'", r.Params.Arguments["arg1"], r.Params.Arguments["arg2"]))
	})
	prompt(mcp.NewPrompt("test_prompt_with_embedded_resource", mcp.WithPromptDescription("A prompt with a resource."), mcp.WithArgument("resourceUri", mcp.ArgumentDescription("address"), mcp.RequiredArgument())),
		func(r mcp.GetPromptRequest) []mcp.PromptMessage {
			return user(embedded(r.Params.Arguments["resourceUri"], "text/plain", "Embedded resource content for testing."), text("Please process the embedded resource above."))
		})
	prompt(mcp.NewPrompt("test_prompt_with_image", mcp.WithPromptDescription("A prompt with an image.")), func(mcp.GetPromptRequest) []mcp.PromptMessage {
		return user(mcp.NewImageContent(onePixel, "image/png"), text("Please analyze the image above."))
	})
}
