-- +goose Up

-- The tenant as one object. The default tenant's issuer, resource and Google client
-- come from the settings; its row holds its name, status and policy.
ALTER TABLE tenants
  ADD COLUMN name text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
  -- What the tenant allows; read strictly, and what a server cannot read is refused.
  ADD COLUMN policy jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(policy) = 'object' AND length(policy::text) <= 65536),
  -- Whose OAuth client at Google it signs people in with, said in words: never one in
  -- place of the other.
  ADD COLUMN upstream text NOT NULL DEFAULT 'deployment' CHECK (upstream IN ('deployment', 'own')),
  ADD COLUMN generation bigint NOT NULL DEFAULT 1, -- grows with every change; a change names the one it was made from
  ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
  ADD CONSTRAINT tenants_default_is_the_deployments CHECK (id <> '00000000-0000-7000-8000-000000000001' OR upstream = 'deployment');

-- A host of the tenant's own: its issuer is https://<host> (http on loopback), and no
-- other one. Exact, in lower case, with the port if it is not the scheme's.
CREATE TABLE tenant_hosts (
  tenant_id  uuid PRIMARY KEY REFERENCES tenants (id),
  host       text NOT NULL UNIQUE CHECK (host ~ '^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[1-9][0-9]{0,4})?$'),
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK (tenant_id <> '00000000-0000-7000-8000-000000000001')
);

-- The protected resources of a tenant: each canonical URL belongs to one.
CREATE TABLE resources (
  tenant_id  uuid NOT NULL REFERENCES tenants (id),
  url        text NOT NULL UNIQUE CHECK (length(url) <= 2048),
  aliases    text[] NOT NULL DEFAULT '{}' CHECK (cardinality(aliases) <= 16),
  product    text NOT NULL DEFAULT '' CHECK (product ~ '^[a-z]{0,32}$'), -- the only product served there; '': all
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, url),
  CHECK (tenant_id <> '00000000-0000-7000-8000-000000000001')
);

-- A tenant's own OAuth client at Google. Each change of id or secret is a generation;
-- the secret of a retired one is gone.
CREATE TABLE upstream_clients (
  tenant_id  uuid NOT NULL REFERENCES tenants (id),
  generation bigint NOT NULL CHECK (generation > 0),
  client_id  text NOT NULL CHECK (length(client_id) BETWEEN 1 AND 255),
  secret     bytea,                   -- sealed, purpose "upstream_client_secret"
  publishing text NOT NULL CHECK (publishing IN ('testing', 'production')), -- of the consent screen at Google
  state      text NOT NULL CHECK (state IN ('active', 'retired')),
  created_at timestamptz NOT NULL DEFAULT now(),
  retired_at timestamptz,
  PRIMARY KEY (tenant_id, generation),
  CHECK ((state = 'active') = (secret IS NOT NULL))
);
CREATE UNIQUE INDEX upstream_clients_one_active ON upstream_clients (tenant_id) WHERE state = 'active';

GRANT SELECT ON tenant_hosts, resources, upstream_clients TO latchkey_runtime;
-- Tenants are made, changed and erased across tenants, so by the jobs role. It writes a
-- sealed secret and reads none.
GRANT INSERT, DELETE, UPDATE (name, status, policy, upstream, generation, updated_at) ON tenants TO latchkey_jobs;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_hosts, resources TO latchkey_jobs;
GRANT SELECT (tenant_id, generation, client_id, publishing, state, created_at, retired_at), INSERT,
  UPDATE (secret, state, retired_at), DELETE ON upstream_clients TO latchkey_jobs;
-- Erasure of a tenant: which rows are whose, and their end. What only an erasure
-- deletes is deleted of a suspended tenant and of no other: the database sees to it.
GRANT SELECT (tenant_id) ON subjects, connections, credentials, consents, data_keys, signing_keys TO latchkey_jobs;
GRANT DELETE ON subjects, connections, credentials, consents, data_keys, signing_keys TO latchkey_jobs;

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['tenant_hosts', 'resources', 'upstream_clients'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format($p$CREATE POLICY tenant ON %I TO latchkey_runtime
      USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
      WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$p$, t);
    EXECUTE format('CREATE POLICY jobs ON %I TO latchkey_jobs USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['subjects', 'connections', 'credentials', 'consents', 'data_keys', 'signing_keys'] LOOP
    EXECUTE format($p$CREATE POLICY erase ON %1$I AS RESTRICTIVE FOR DELETE TO latchkey_jobs
      USING (EXISTS (SELECT FROM tenants s WHERE s.id = %1$I.tenant_id AND s.status = 'suspended'))$p$, t);
  END LOOP;
END $$;
-- +goose StatementEnd
CREATE POLICY erase ON tenants AS RESTRICTIVE FOR DELETE TO latchkey_jobs
  USING (status = 'suspended' AND id <> '00000000-0000-7000-8000-000000000001');

-- Servers keep the tenants in memory; whoever changes one, by whatever means, tells them.
-- +goose StatementBegin
CREATE FUNCTION tell_tenants_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('latchkey_tenants', '');
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON tenants FOR EACH STATEMENT EXECUTE FUNCTION tell_tenants_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON tenant_hosts FOR EACH STATEMENT EXECUTE FUNCTION tell_tenants_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON resources FOR EACH STATEMENT EXECUTE FUNCTION tell_tenants_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON upstream_clients FOR EACH STATEMENT EXECUTE FUNCTION tell_tenants_changed();

-- +goose Down
DROP POLICY erase ON tenants;
DROP POLICY erase ON subjects;
DROP POLICY erase ON connections;
DROP POLICY erase ON credentials;
DROP POLICY erase ON consents;
DROP POLICY erase ON data_keys;
DROP POLICY erase ON signing_keys;
REVOKE DELETE ON subjects, connections, credentials, consents, data_keys, signing_keys FROM latchkey_jobs;
REVOKE SELECT (tenant_id) ON consents, data_keys, signing_keys FROM latchkey_jobs;
REVOKE INSERT, DELETE, UPDATE (name, status, policy, upstream, generation, updated_at) ON tenants FROM latchkey_jobs;
DROP TABLE upstream_clients, resources, tenant_hosts;
DROP TRIGGER changed ON tenants;
DROP FUNCTION tell_tenants_changed();
ALTER TABLE tenants
  DROP CONSTRAINT tenants_default_is_the_deployments,
  DROP COLUMN name, DROP COLUMN policy, DROP COLUMN upstream, DROP COLUMN generation, DROP COLUMN updated_at;
