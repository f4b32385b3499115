package app

import (
	"log/slog"
	"slices"

	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/tool"
)

// Tools are the tools that a server with these settings offers, by name.
func Tools(c *config.Server) ([]*tool.Tool, error) {
	s, err := build(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	var out []*tool.Tool
	for _, t := range s.table.Load().all[0].tools {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *tool.Tool) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out, nil
}
