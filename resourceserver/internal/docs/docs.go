package docs

import (
	"context"
	"fmt"

	"google.golang.org/api/docs/v1"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

const google = "https://www.googleapis.com/auth/"

type product struct{ api *googleapi.API }

// Tools returns the Docs tools.
func Tools(api *googleapi.API) ([]*tool.Tool, error) {
	p := &product{api}
	var s tool.Set
	tool.Add(&s, tool.Description{
		Name: "docs_get", Title: "Read a document",
		Description: "Read a document as Markdown, one tab at a time.",
		Scopes:      oauth.NewScopes("docs.read"), Google: oauth.NewScopes(google + "documents.readonly"), Hints: tool.Read,
	}, p.get)
	tool.Add(&s, tool.Description{
		Name: "docs_edit", Title: "Edit a document",
		Description: "Replace a text everywhere in a document, or insert Markdown, tables too. Others' edits are kept.",
		Scopes:      oauth.NewScopes("docs.write"), Google: oauth.NewScopes(google + "documents"), Also: googleapi.Sees(), Hints: tool.Create,
	}, p.edit)
	return s.Tools()
}

// open returns the service for the account of the running call.
func (p *product) open(ctx context.Context, account string) (*docs.DocumentsService, googleapi.Account, error) {
	service, used, err := googleapi.Service(ctx, p.api, account, "", docs.NewService)
	if err != nil {
		return nil, googleapi.Account{}, err
	}
	return service.Documents, used, nil
}

func documents(ctx context.Context, s *googleapi.Session) (*docs.DocumentsService, error) {
	service, err := docs.NewService(ctx, s.Options("")...)
	if err != nil {
		return nil, fmt.Errorf("making Docs client: %w", err)
	}
	return service.Documents, nil
}

// fields of a document: what its Markdown is made of, and the positions.
const (
	tabFields = "tabProperties(tabId,title),childTabs,documentTab(body/content,lists,footnotes,inlineObjects)"
	fields    = "documentId,title,revisionId,tabs(" + tabFields + ")"
)

// read reads a document with all of its tabs.
func read(ctx context.Context, d *docs.DocumentsService, id string) (*docs.Document, error) {
	doc, err := d.Get(id).IncludeTabsContent(true).Fields(fields).Context(ctx).Do()
	if err != nil {
		return nil, googleapi.Error("reading document", err)
	}
	return doc, nil
}

// maxTabs bounds the nested tabs that are looked at.
const maxTabs = 200

// tabs are a document's, parents before children.
func tabs(doc *docs.Document) []*docs.Tab {
	var out []*docs.Tab
	var walk func([]*docs.Tab, int)
	walk = func(list []*docs.Tab, depth int) {
		for _, t := range list {
			if len(out) < maxTabs && depth < 10 && t.TabProperties != nil && t.DocumentTab != nil {
				out = append(out, t)
				walk(t.ChildTabs, depth+1)
			}
		}
	}
	walk(doc.Tabs, 0)
	return out
}

// tabOf returns the tab of an id, the first for "".
func tabOf(doc *docs.Document, id string) (*docs.Tab, error) {
	all := tabs(doc)
	for _, t := range all {
		if id == "" || t.TabProperties.TabId == id {
			return t, nil
		}
	}
	return nil, &tool.Error{Code: tool.CodeNotFound, Message: "The document has no such tab.", NextAction: "Take tab_id from docs_get, or leave it out."}
}
