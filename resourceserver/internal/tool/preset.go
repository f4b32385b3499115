package tool

import (
	"fmt"
	"slices"
	"strings"
)

// Tier says how commonly a tool is needed. The zero value is the core.
type Tier int

const (
	Core Tier = iota
	Extended
	Complete
)

func (t Tier) String() string { return [...]string{"core", "extended", "complete"}[t] }

// Preset is a choice of tools: fewer tools cost a model less and mislead it less.
type Preset string

const (
	PresetCore     Preset = "core"
	PresetExtended Preset = "extended" // core and what is needed now and then
	PresetComplete Preset = "complete" // everything
	PresetReadOnly Preset = "read-only"
)

// Presets are all of them.
var Presets = []Preset{PresetCore, PresetExtended, PresetComplete, PresetReadOnly}

// ParsePreset returns the preset of a name.
func ParsePreset(name string) (Preset, error) {
	if p := Preset(name); slices.Contains(Presets, p) {
		return p, nil
	}
	return "", fmt.Errorf("%q is no preset: use core, extended, complete or read-only", name)
}

// Admits reports whether a tool belongs to the preset.
func (p Preset) Admits(t *Tool) bool {
	switch p {
	case PresetCore:
		return t.Tier == Core
	case PresetExtended:
		return t.Tier <= Extended
	case PresetComplete:
		return true
	case PresetReadOnly:
		return t.Hints.ReadOnly
	}
	return false
}

// Service is the first word of the tool's name: gmail, drive, calendar.
func (t *Tool) Service() string {
	service, _, _ := strings.Cut(t.Name, "_")
	return service
}
