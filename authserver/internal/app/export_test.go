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
