package tool

import "encoding/json"

// Check reads arguments as a call does.
func (t *Tool) Check(arguments json.RawMessage) error { return t.input.check(arguments) }
