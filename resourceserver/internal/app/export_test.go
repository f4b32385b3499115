package app

import (
	"context"
	"log/slog"
	"net/http"
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

// NewWith is New with tools of a test's own beside the real ones.
func NewWith(ctx context.Context, c *config.Server, log *slog.Logger, more ...*tool.Tool) (http.Handler, error) {
	s, err := build(c, log)
	if err != nil {
		return nil, err
	}
	s.tools = append(s.tools, more...)
	first, err := s.tableOf(nil, newTable())
	if err != nil {
		return nil, err
	}
	s.table.Store(first)
	go s.outcomes.Run(ctx)
	return s.routes(log), nil
}
