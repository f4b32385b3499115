-- +goose Up

-- The audit trail (DESIGN §4). A row is written in the transaction of the act it records,
-- so there are no foreign keys: a row outlives what it is about, and a lock on its tenant
-- would make every token request wait for every other. seq and hash are the sealer's; what
-- they cover is computed from the other columns (package audit).
CREATE TABLE audit_events (
  tenant_id     uuid NOT NULL,
  id            bigint GENERATED ALWAYS AS IDENTITY, -- a name for paging; the order that counts is seq
  at            timestamptz NOT NULL DEFAULT now(),  -- the database's clock; nobody may set it
  kind          text NOT NULL CHECK (kind <> ''),
  actor         text NOT NULL CHECK (actor <> ''),
  outcome       text NOT NULL CHECK (outcome <> ''),
  detail        text NOT NULL DEFAULT '' CHECK (length(detail) <= 200), -- a reason or a key id, from closed sets
  subject_id    uuid,
  client_id     text NOT NULL DEFAULT '',
  grant_id      uuid,
  connection_id uuid,
  resource      text NOT NULL DEFAULT '',
  scopes        text[] NOT NULL DEFAULT '{}',
  tool          text NOT NULL DEFAULT '',
  duration_ms   integer NOT NULL DEFAULT 0,
  request_id    text NOT NULL DEFAULT '',            -- of the request at the authorization server
  caller_request_id text NOT NULL DEFAULT '',        -- of the resource server's request behind it
  source        text NOT NULL DEFAULT '',            -- network of the client's address: /24, /48
  seq           bigint CHECK (seq > 0),
  hash          bytea CHECK (length(hash) = 32),
  PRIMARY KEY (tenant_id, id),
  CHECK ((seq IS NULL) = (hash IS NULL))
);
-- What is not sealed yet. The other indexes are of sealed rows only, so the sealer pays
-- for them and not the token request.
CREATE INDEX audit_events_unsealed ON audit_events (tenant_id, id) WHERE seq IS NULL;
CREATE UNIQUE INDEX audit_events_chain ON audit_events (tenant_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX audit_events_at ON audit_events (tenant_id, at) WHERE seq IS NOT NULL;
CREATE INDEX audit_events_subject ON audit_events (tenant_id, subject_id, id) WHERE seq IS NOT NULL;
CREATE INDEX audit_events_client ON audit_events (tenant_id, client_id, id) WHERE seq IS NOT NULL;
CREATE INDEX audit_events_request ON audit_events (tenant_id, request_id) WHERE seq IS NOT NULL AND request_id <> '';
CREATE INDEX audit_events_caller_request ON audit_events (tenant_id, caller_request_id) WHERE seq IS NOT NULL AND caller_request_id <> '';

-- Signed statements of how far a chain has come.
CREATE TABLE audit_checkpoints (
  tenant_id uuid NOT NULL,
  seq       bigint NOT NULL CHECK (seq > 0),
  kid       text NOT NULL,            -- a key that went is followed by a checkpoint of the next one
  hash      bytea NOT NULL CHECK (length(hash) = 32),
  jws       text NOT NULL CHECK (length(jws) <= 4096),
  at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, seq, kid)
);

-- Nobody who serves may change or delete an event, nor say when it was.
GRANT SELECT, INSERT (tenant_id, kind, actor, outcome, detail, subject_id, client_id, grant_id, connection_id, resource, scopes, tool,
  duration_ms, request_id, caller_request_id, source) ON audit_events TO latchkey_runtime, latchkey_jobs;
GRANT UPDATE (seq, hash) ON audit_events TO latchkey_jobs; -- the sealer
GRANT SELECT ON audit_checkpoints TO latchkey_runtime, latchkey_jobs;
GRANT INSERT (tenant_id, seq, kid, hash, jws) ON audit_checkpoints TO latchkey_jobs;
GRANT SELECT (kid) ON signing_keys TO latchkey_jobs; -- which keys are still published

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['audit_events', 'audit_checkpoints'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format($p$CREATE POLICY tenant ON %I TO latchkey_runtime
      USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
      WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$p$, t);
    EXECUTE format('CREATE POLICY jobs ON %I TO latchkey_jobs USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;
-- +goose StatementEnd
-- A row is sealed once: not even the sealer can chain it anew.
CREATE POLICY sealed_once ON audit_events AS RESTRICTIVE FOR UPDATE TO latchkey_jobs USING (seq IS NULL) WITH CHECK (seq IS NOT NULL);

-- +goose Down
REVOKE SELECT (kid) ON signing_keys FROM latchkey_jobs;
DROP TABLE audit_checkpoints, audit_events;
