-- +goose Up

-- The feed of revoked grants (DESIGN §4). Partial: a live grant is not in it, so a
-- rotation of its refresh token stays a HOT update.
CREATE INDEX grants_revoked ON grants (revoked_at, id) WHERE revoked_at IS NOT NULL;

-- +goose Down
DROP INDEX grants_revoked;
