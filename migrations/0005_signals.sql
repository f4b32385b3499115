-- +goose Up

-- Google's security events (RFC 8417) that were acted on: each acts once. The table
-- belongs to no tenant: Google knows its own OAuth clients, not our tenants. A row
-- stays longer than an event of its age is taken at all.
CREATE TABLE google_signals (
  id_hash     bytea PRIMARY KEY CHECK (length(id_hash) = 32), -- SHA-256 of the OAuth clients it is for and its jti
  issued_at   timestamptz NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX google_signals_issued ON google_signals (issued_at);

-- What Google calls a refresh token by in a token-revoked event. Neither gives the
-- token: a double SHA-512 of more than 256 bits of chance, and a SHA-256 of its first
-- 16 characters. None of the columns changes with an ordinary refresh, so that stays
-- a HOT update. linked_at is the last sign-in: an event that comes late says nothing
-- about what the person has done since.
ALTER TABLE credentials
  ADD COLUMN refresh_hash bytea CHECK (refresh_hash IS NULL OR length(refresh_hash) = 64),
  ADD COLUMN refresh_prefix bytea CHECK (refresh_prefix IS NULL OR length(refresh_prefix) = 32),
  ADD COLUMN linked_at timestamptz; -- NULL: before this column was
CREATE INDEX credentials_refresh_hash ON credentials (refresh_hash) WHERE refresh_hash IS NOT NULL;
CREATE INDEX credentials_refresh_prefix ON credentials (refresh_prefix) WHERE refresh_prefix IS NOT NULL;
CREATE INDEX connections_google_sub ON connections (google_sub); -- across tenants

-- One Google account may have connections in many tenants, so this is the jobs role's
-- work. It sees no sealed value, and can forget tokens but not put others there: a
-- token that it wrote would not open under the tenant's data key.
GRANT SELECT, INSERT, UPDATE, DELETE ON google_signals TO latchkey_jobs; -- UPDATE: for FOR UPDATE SKIP LOCKED
GRANT SELECT (tenant_id, id, google_sub) ON subjects TO latchkey_jobs;
GRANT SELECT (tenant_id, id, subject_id, google_sub) ON connections TO latchkey_jobs;
GRANT SELECT (tenant_id, connection_id, upstream_client, status, version, refresh_hash, refresh_prefix, linked_at),
  UPDATE (refresh_token, refresh_hash, refresh_prefix, access_token, access_expires_at, status, last_error, version, lease_owner, lease_until, updated_at)
  ON credentials TO latchkey_jobs;

-- +goose Down
REVOKE SELECT (tenant_id, connection_id, upstream_client, status, version, refresh_hash, refresh_prefix, linked_at),
  UPDATE (refresh_token, refresh_hash, refresh_prefix, access_token, access_expires_at, status, last_error, version, lease_owner, lease_until, updated_at)
  ON credentials FROM latchkey_jobs;
REVOKE SELECT (tenant_id, id, subject_id, google_sub) ON connections FROM latchkey_jobs;
REVOKE SELECT (tenant_id, id, google_sub) ON subjects FROM latchkey_jobs;
DROP INDEX connections_google_sub;
ALTER TABLE credentials DROP COLUMN refresh_hash, DROP COLUMN refresh_prefix, DROP COLUMN linked_at;
DROP TABLE google_signals;
