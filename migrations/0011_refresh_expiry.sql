-- +goose Up

-- When Google ends the refresh token by itself: seven days after the sign-in for an
-- OAuth client in testing mode. NULL: Google named no end. warned_at is when the log
-- told of it, once a day for all replicas. Neither is indexed, so an ordinary refresh
-- stays a HOT update.
ALTER TABLE credentials
  ADD COLUMN refresh_expires_at timestamptz,
  ADD COLUMN warned_at timestamptz;

-- +goose Down
ALTER TABLE credentials DROP COLUMN refresh_expires_at, DROP COLUMN warned_at;
