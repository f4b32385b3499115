package bearer

import "encoding/json"

// The methods whose scopes the guard checks.
const (
	MethodCallTool     = "tools/call"
	MethodReadResource = "resources/read"
	MethodGetPrompt    = "prompts/get"
)

// call is what the guard reads of a JSON-RPC message. It is decoded as mcp-go
// v1.2.1 decodes it (encoding/json; every "params" member replaces the one
// before), so that duplicate and case-variant keys name the same tool here and
// there. The tool layer checks the scopes once more on what it really runs.
type call struct {
	Method string     `json:"method"`
	Params callParams `json:"params"`
}

type callParams struct{ Name string }

func (p *callParams) UnmarshalJSON(b []byte) error {
	var raw struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	p.Name = raw.Name
	return nil
}

// others is the same for messages whose params the library decodes the plain way:
// there a second "params" member is laid over the first.
type others struct {
	Params struct {
		Name string `json:"name"`
		URI  string `json:"uri"`
	} `json:"params"`
}

// asked returns what a message asks for, as far as scopes decide on it: the name
// of a tool or prompt, the address of a resource. A message that cannot be decoded
// asks for nothing: mcp-go refuses it.
func asked(body []byte) (method, target string) {
	var c call
	if json.Unmarshal(body, &c) != nil {
		return "", ""
	}
	switch c.Method {
	case MethodCallTool:
		return c.Method, c.Params.Name
	case MethodReadResource, MethodGetPrompt:
		var o others
		if json.Unmarshal(body, &o) != nil {
			return "", ""
		}
		if c.Method == MethodReadResource {
			return c.Method, o.Params.URI
		}
		return c.Method, o.Params.Name
	}
	return c.Method, ""
}
