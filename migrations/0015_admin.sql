-- +goose Up

-- The administrators of the admin API: clients that prove themselves there and nowhere
-- else. Each belongs to a tenant and reaches that tenant alone; those with everywhere
-- belong to the deployment, whose rows are the default tenant's. Nobody who serves a
-- tenant reads the table: who asks is not known to any tenant before it was read.
CREATE TABLE admin_clients (
  tenant_id    uuid NOT NULL REFERENCES tenants (id),
  id           text NOT NULL CHECK (length(id) BETWEEN 1 AND 64),
  everywhere   boolean NOT NULL,
  name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  scopes       text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 50),
  secret_hash  bytea CHECK (secret_hash IS NULL OR length(secret_hash) = 32), -- SHA-256 of a 256-bit random secret
  jwks         jsonb,                 -- public keys, for private_key_jwt
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CHECK (NOT everywhere OR tenant_id = '00000000-0000-7000-8000-000000000001'),
  CHECK ((secret_hash IS NULL) <> (jwks IS NULL)) -- one way to prove itself
);
CREATE UNIQUE INDEX admin_clients_id ON admin_clients (id);

GRANT SELECT, INSERT, DELETE ON admin_clients TO latchkey_jobs;
GRANT SELECT (tenant_id, id), UPDATE (last_used_at) ON admin_clients TO latchkey_runtime; -- beside the assertion that is used up

ALTER TABLE admin_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE admin_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON admin_clients TO latchkey_runtime
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY jobs ON admin_clients TO latchkey_jobs USING (true) WITH CHECK (true);

-- Sessions are listed and ended by the id that is no secret. It never changes, so using a
-- session stays a HOT update.
CREATE INDEX sessions_id ON sessions (tenant_id, id);

-- An operator deletes the kept copy of a client's metadata document.
GRANT DELETE ON client_documents TO latchkey_runtime;

-- +goose Down
REVOKE DELETE ON client_documents FROM latchkey_runtime;
DROP INDEX sessions_id;
DROP TABLE admin_clients;
