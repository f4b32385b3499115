package app

import (
	"context"
	"log/slog"
	"time"
)

// CheckKEK is what serve asks before it serves.
func (s *Server) CheckKEK(ctx context.Context, wait time.Duration) error {
	return s.checkKEK(ctx, slog.New(slog.DiscardHandler), wait)
}

// CommandLine is what the program's commands are parsed by.
func CommandLine() any { return &cli{} }
