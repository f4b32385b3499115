package bearer

import "encoding/json"

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

// calledTool returns the name of the tool a message calls. A message that
// cannot be decoded calls nothing: mcp-go refuses it.
func calledTool(body []byte) (method, tool string) {
	var c call
	if json.Unmarshal(body, &c) != nil {
		return "", ""
	}
	if c.Method != "tools/call" {
		return c.Method, ""
	}
	return c.Method, c.Params.Name
}
