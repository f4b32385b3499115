-- +goose Up

-- Several Google accounts per person. The alias is the person's own name for one;
-- '' in rows of the program before this one, until the account is linked again.
-- 'unlinked': known, but not the person's any more, or not yet: the row keeps its id,
-- so that the same account gets the same handle when it is linked again.
ALTER TABLE connections
  ADD COLUMN alias text NOT NULL DEFAULT '' CHECK (length(alias) <= 40),
  ADD COLUMN status text NOT NULL DEFAULT 'linked' CHECK (status IN ('linked', 'unlinked')),
  ADD COLUMN token_group text NOT NULL DEFAULT 'workspace' CHECK (token_group ~ '^[a-z][a-z0-9_-]{0,31}$'),
  ADD CONSTRAINT connections_default_is_linked CHECK (status = 'linked' OR NOT is_default);
ALTER TABLE connections NO FORCE ROW LEVEL SECURITY; -- the owner names what is there; until now a person had one account
UPDATE connections SET alias = left(CASE WHEN hosted_domain = '' THEN 'personal' ELSE hosted_domain END, 40);
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX connections_alias ON connections (tenant_id, subject_id, lower(alias)) WHERE alias <> '';

-- Browser sessions. The 256-bit id is in the person's browser alone; id is what the
-- person's page names a session by. last_used_at is in no index: using a session is a
-- HOT update.
CREATE TABLE sessions (
  tenant_id    uuid NOT NULL,
  secret_hash  bytea NOT NULL CHECK (length(secret_hash) = 32),
  id           uuid NOT NULL,
  subject_id   uuid NOT NULL,
  browser      text NOT NULL CHECK (length(browser) <= 60), -- in words, for the person
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz NOT NULL DEFAULT now(),
  ended_at     timestamptz,
  PRIMARY KEY (tenant_id, secret_hash),
  FOREIGN KEY (tenant_id, subject_id) REFERENCES subjects (tenant_id, id)
) WITH (fillfactor = 80);
CREATE INDEX sessions_subject ON sessions (tenant_id, subject_id, created_at);
CREATE INDEX sessions_created ON sessions (created_at);

-- One-time links that repair or extend a connection, or add an account. No token, no
-- e-mail address; the secret is in the link alone.
CREATE TABLE links (
  tenant_id     uuid NOT NULL,
  secret_hash   bytea NOT NULL CHECK (length(secret_hash) = 32),
  subject_id    uuid NOT NULL,
  connection_id uuid,                 -- NULL: an account is to be added
  client_id     text NOT NULL,        -- the app that needs it
  reason        text NOT NULL CHECK (length(reason) <= 64),
  google_scopes text[] NOT NULL,      -- that are missing
  created_at    timestamptz NOT NULL DEFAULT now(),
  expires_at    timestamptz NOT NULL,
  used_at       timestamptz,
  PRIMARY KEY (tenant_id, secret_hash),
  FOREIGN KEY (tenant_id, subject_id) REFERENCES subjects (tenant_id, id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id)
);
CREATE INDEX links_subject ON links (tenant_id, subject_id, created_at);
CREATE INDEX links_expires ON links (expires_at);

-- Tokens of disconnected accounts that are still to be revoked at Google. The token
-- stays sealed for its connection.
CREATE TABLE google_revocations (
  tenant_id       uuid NOT NULL,
  id              uuid NOT NULL,
  subject_id      uuid NOT NULL,
  connection_id   uuid NOT NULL,
  upstream_client text NOT NULL,
  purpose         text NOT NULL CHECK (purpose IN ('refresh_token', 'access_token')), -- that it is sealed for
  token           bytea NOT NULL,
  tries           integer NOT NULL DEFAULT 0,
  next_try_at     timestamptz NOT NULL DEFAULT now(),
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, subject_id) REFERENCES subjects (tenant_id, id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id)
);
CREATE INDEX google_revocations_next ON google_revocations (next_try_at);
CREATE INDEX google_revocations_connection ON google_revocations (tenant_id, connection_id);

GRANT SELECT, INSERT, UPDATE (last_used_at, ended_at) ON sessions TO latchkey_runtime;
GRANT SELECT, INSERT, UPDATE (used_at), DELETE ON links TO latchkey_runtime;
GRANT SELECT, INSERT, DELETE ON google_revocations TO latchkey_runtime;
-- The sweeps. UPDATE: for FOR UPDATE SKIP LOCKED.
GRANT SELECT, UPDATE, DELETE ON sessions, links TO latchkey_jobs;
-- The queue: the jobs role says whose turn it is and sees no token; who works on a row
-- reads the token as that tenant.
GRANT SELECT (tenant_id, id, subject_id, connection_id, upstream_client, purpose, tries, next_try_at, created_at),
  UPDATE (tries, next_try_at), DELETE ON google_revocations TO latchkey_jobs;

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['sessions', 'links', 'google_revocations'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format($p$CREATE POLICY tenant ON %I TO latchkey_runtime
      USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
      WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$p$, t);
    EXECUTE format('CREATE POLICY jobs ON %I TO latchkey_jobs USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE google_revocations, links, sessions;
DROP INDEX connections_alias;
ALTER TABLE connections DROP CONSTRAINT connections_default_is_linked, DROP COLUMN alias, DROP COLUMN status, DROP COLUMN token_group;
