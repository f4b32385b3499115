-- +goose Up

-- Rotation of signing keys: next -> active -> retired -> deleted. A key's public part
-- is known everywhere before the key signs, and stays known for as long as a token of
-- it can live; token_life is that life at its longest, and only grows, so that a
-- shortened setting takes no key away from a token that was made before.
ALTER TABLE signing_keys ADD COLUMN token_life interval NOT NULL DEFAULT '0';
CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (tenant_id, purpose) WHERE state = 'next';

-- What a key is never changes; only its place in its life.
GRANT UPDATE (state, activated_at, retired_at, token_life), DELETE ON signing_keys TO latchkey_runtime;

-- +goose Down
REVOKE UPDATE (state, activated_at, retired_at, token_life), DELETE ON signing_keys FROM latchkey_runtime;
DROP INDEX signing_keys_one_next;
ALTER TABLE signing_keys DROP COLUMN token_life;
