-- +goose Up

-- Registrations are bounded in time, not in number (PROTOCOL AS-R10): a client that
-- registers itself ends at expires_at, and every use moves that on. NULL: never ends.
ALTER TABLE clients
  ADD COLUMN jwks jsonb,                                -- public keys, for private_key_jwt
  ADD COLUMN jwks_uri text NOT NULL DEFAULT '' CHECK (length(jwks_uri) <= 2048),
  ADD COLUMN management_hash bytea CHECK (management_hash IS NULL OR length(management_hash) = 32), -- SHA-256 of the registration access token (RFC 7592)
  ADD COLUMN expires_at timestamptz,
  DROP CONSTRAINT clients_redirect_uris_check,
  ADD CONSTRAINT clients_redirect_uris_check CHECK (cardinality(redirect_uris) <= 20
    AND (cardinality(redirect_uris) > 0 OR kind = 'static')),
  ADD CONSTRAINT clients_keys_check CHECK (auth_method <> 'private_key_jwt' OR jwks IS NOT NULL OR jwks_uri <> ''),
  ADD CONSTRAINT clients_one_key_source_check CHECK (jwks IS NULL OR jwks_uri = '');
ALTER TABLE clients NO FORCE ROW LEVEL SECURITY; -- the owner gives every tenant's registrations their end
UPDATE clients SET expires_at = now() + interval '90 days' WHERE kind = 'dynamic';
ALTER TABLE clients FORCE ROW LEVEL SECURITY;
ALTER TABLE clients ADD CONSTRAINT clients_dynamic_ends CHECK (kind <> 'dynamic' OR expires_at IS NOT NULL);
CREATE INDEX clients_expires ON clients (expires_at) WHERE expires_at IS NOT NULL;

-- The last good copy of a client ID metadata document. Errors and invalid documents
-- are never kept.
CREATE TABLE client_documents (
  tenant_id    uuid NOT NULL REFERENCES tenants (id),
  id           text NOT NULL CHECK (id LIKE 'https://%' AND length(id) <= 512), -- its URL, which is the client id
  document     bytea NOT NULL CHECK (length(document) <= 5120),
  fetched_at   timestamptz NOT NULL,
  fresh_until  timestamptz NOT NULL,
  changed_at   timestamptz NOT NULL,
  last_used_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX client_documents_used ON client_documents (last_used_at);

-- Pushed authorization requests (RFC 9126): checked and sealed, without credentials.
CREATE TABLE pushed_requests (
  tenant_id  uuid NOT NULL REFERENCES tenants (id),
  id_hash    bytea NOT NULL CHECK (length(id_hash) = 32), -- of the request_uri's random part
  client_id  text NOT NULL,
  request    bytea NOT NULL,          -- sealed, purpose "authorization_request"
  expires_at timestamptz NOT NULL,
  used_at    timestamptz,
  used_by    bytea CHECK (used_by IS NULL OR length(used_by) = 32), -- the browser that used it may load the page again
  PRIMARY KEY (tenant_id, id_hash)
);
CREATE INDEX pushed_requests_expires ON pushed_requests (expires_at);

-- None of these columns ever changes, so redemption and rotation stay HOT updates.
CREATE INDEX grants_client ON grants (tenant_id, client_id);
CREATE INDEX grants_expires ON grants (expires_at);
CREATE INDEX grants_created ON grants USING brin (created_at); -- for the sweep of codes nobody redeemed

GRANT DELETE ON clients TO latchkey_runtime;
GRANT SELECT, INSERT, UPDATE ON client_documents TO latchkey_runtime;
GRANT SELECT, INSERT, UPDATE ON pushed_requests TO latchkey_runtime;
-- The sweeps. UPDATE: for FOR UPDATE SKIP LOCKED.
GRANT SELECT, UPDATE, DELETE ON clients, client_documents, pushed_requests, grants TO latchkey_jobs;

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['client_documents', 'pushed_requests'] LOOP
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
DROP TABLE client_documents, pushed_requests;
DROP INDEX grants_client, grants_expires, grants_created, clients_expires;
REVOKE DELETE ON clients FROM latchkey_runtime;
REVOKE SELECT, UPDATE, DELETE ON clients, grants FROM latchkey_jobs;
DELETE FROM clients WHERE cardinality(redirect_uris) = 0 OR jwks IS NOT NULL OR jwks_uri <> '';
ALTER TABLE clients
  DROP CONSTRAINT clients_dynamic_ends, DROP CONSTRAINT clients_one_key_source_check, DROP CONSTRAINT clients_keys_check,
  DROP CONSTRAINT clients_redirect_uris_check,
  ADD CONSTRAINT clients_redirect_uris_check CHECK (cardinality(redirect_uris) BETWEEN 1 AND 20),
  DROP COLUMN jwks, DROP COLUMN jwks_uri, DROP COLUMN management_hash, DROP COLUMN expires_at;
