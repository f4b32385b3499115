package tool_test

import (
	"testing"

	"latchkey/resourceserver/internal/tool"
)

// TestPresets: each holds what it says, and an unknown one holds nothing.
func TestPresets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tier  tool.Tier
		hints tool.Hints
		in    map[tool.Preset]bool
	}{
		{tool.Core, tool.Read, map[tool.Preset]bool{tool.PresetCore: true, tool.PresetExtended: true, tool.PresetComplete: true, tool.PresetReadOnly: true}},
		{tool.Extended, tool.Send, map[tool.Preset]bool{tool.PresetExtended: true, tool.PresetComplete: true}},
		{tool.Complete, tool.Change, map[tool.Preset]bool{tool.PresetComplete: true}},
	} {
		made, err := tool.New(description(func(d *tool.Description) { d.Tier, d.Hints, d.Asks = c.tier, c.hints, c.hints.Destructive }), run)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range append(tool.Presets, "", "all") {
			if p.Admits(made) != c.in[p] {
				t.Errorf("%v in %q: %v", c.tier, p, !c.in[p])
			}
		}
		if made.Service() != "x" {
			t.Error(made.Service())
		}
	}
	if _, err := tool.ParsePreset("everything"); err == nil {
		t.Error("an unknown preset was taken")
	}
}
