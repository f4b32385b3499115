package registration

import "latchkey/authserver/internal/client"

// ReadMetadata reads a registration body as Register does.
func ReadMetadata(body []byte, custom []string) (*client.Client, error) {
	var m metadata
	if err := decode(body, &m); err != nil {
		return nil, err
	}
	c := &client.Client{ID: "c_x", Kind: client.Dynamic}
	if err := m.fill(c, custom); err != nil {
		return nil, err
	}
	return c, nil
}

var (
	ParseDocument    = parseDocument
	CheckDocumentURL = checkDocumentURL
)
