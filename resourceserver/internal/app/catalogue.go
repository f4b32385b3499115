package app

import (
	"fmt"
	"io"
	"strings"

	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/credential"
	"latchkey/resourceserver/internal/download"
	"latchkey/resourceserver/internal/drive"
	"latchkey/resourceserver/internal/filetext"
	"latchkey/resourceserver/internal/gmail"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
	"latchkey/resourceserver/internal/upload"
)

type toolsCmd struct {
	Preset string `name:"tool-preset" default:"complete" enum:"core,extended,complete,read-only" help:"Tools to describe."`
}

// Run prints docs/tools.md.
func (c *toolsCmd) Run(e *env) error {
	// Descriptions only: nothing here is ever called.
	api := &googleapi.API{}
	tools, err := allTools(tool.Preset(c.Preset), api, credential.New(nil, nil), nil, &gmail.Gmail{API: api, Links: &download.Links{}, Files: filetext.New()}, &drive.Drive{API: api, Links: &download.Links{}, Uploads: &upload.Links{}, Files: filetext.New()})
	if err != nil {
		return err
	}
	return describe(e.out, tools)
}

// describe writes the catalogue as Markdown.
func describe(w io.Writer, tools []*tool.Tool) error {
	var b strings.Builder
	b.WriteString("# Tools\n\nGenerated: `go run ./resourceserver/cmd/resourceserver tools > resourceserver/docs/tools.md`. `TOOL_PRESET` chooses what a server offers: `core` " +
		"(the default), `extended` (core and the tools marked so), `complete`, or `read-only`.\n\n" +
		"Each resource has its own metadata and takes its own tokens only: `RESOURCE_URL` has every tool")
	for _, name := range exchange.Products() {
		fmt.Fprintf(&b, ", `/%s` those of %s", name, strings.Join(products[name].services, ", "))
	}
	b.WriteString(".\n\nEvery result names the account it came from. Errors have `code`, `message`, `retryable`, `retry_after` (seconds) and `next_action`. What is " +
		"marked *asks* waits for the person's confirmation: in their client (elicitation, MCP 2026-07-28), and where it cannot ask on a page of the authorization server, " +
		"for them alone. Such a call answers `confirmation_required` with the page as `link`; after the person's word the same call with the same " +
		"arguments acts, once. Calendar asks where other people get mail or are declined, `contacts_update` where a name, address or number changes.\n\n| tool | tier | MCP scopes | hints |\n|---|---|---|---|\n")
	for _, t := range tools {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s |\n", t.Name, t.Name, t.Tier, code(t.Scopes.Slice()), hints(t))
	}
	for _, t := range tools {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\nGoogle scopes: %s. Result: %s.\n", t.Name, t.Description.Description, orNone(code(t.Google.Slice())), code(t.Results()))
		arguments := t.Arguments()
		if len(arguments) == 0 {
			continue
		}
		b.WriteString("\n| argument | takes | |\n|---|---|---|\n")
		for _, a := range arguments {
			required := ""
			if a.Required {
				required = " (required)"
			}
			fmt.Fprintf(&b, "| `%s`%s | %s | %s |\n", a.Name, required, a.Takes, a.Meaning)
		}
	}
	b.WriteString("\n## Addresses and prompts\n\nAn address is what its tool returns (`resources/read`), a prompt a piece of work with tools (`prompts/get`). " +
		"Both need the scopes of their tools, and are there where these are.\n\n| address or prompt | tools | |\n|---|---|---|\n")
	for _, r := range resources {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Template, code([]string{r.Tool}), r.Description)
	}
	for _, p := range prompts {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, code(p.Tools), p.Description)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func code(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, "`"+n+"`")
	}
	return strings.Join(out, " ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func hints(t *tool.Tool) string {
	var out []string
	for _, h := range []struct {
		is   bool
		word string
	}{{t.Hints.ReadOnly, "reads"}, {t.Hints.Destructive, "destructive"}, {t.Hints.Idempotent && !t.Hints.ReadOnly, "idempotent"}, {t.Hints.OpenWorld, "reaches others"}, {t.Asks, "asks"}} {
		if h.is {
			out = append(out, h.word)
		}
	}
	return orNone(strings.Join(out, ", "))
}
