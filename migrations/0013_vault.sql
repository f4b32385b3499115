-- +goose Up

-- The data key under which a value is sealed, from its head (package vault): format,
-- key id. NULL for what is no sealed value, such as the empty one.
CREATE FUNCTION sealed_key(sealed bytea) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN CASE WHEN length(sealed) >= 45 AND get_byte(sealed, 0) IN (1, 2) THEN encode(substring(sealed FROM 2 FOR 16), 'hex')::uuid END;

-- No value is sealed under a data key that is gone, whatever a server believes that
-- read its keys ten minutes ago: the database refuses such a value, and refuses to
-- delete a key as long as one is left. None of these columns is indexed, so refreshing
-- a credential stays a HOT update; one that is not sealed anew under another key costs
-- no check.
ALTER TABLE connections
  ADD COLUMN email_key uuid GENERATED ALWAYS AS (sealed_key(email)) STORED,
  ADD FOREIGN KEY (tenant_id, email_key) REFERENCES data_keys (tenant_id, id);
ALTER TABLE credentials
  ADD COLUMN refresh_key uuid GENERATED ALWAYS AS (sealed_key(refresh_token)) STORED,
  ADD COLUMN access_key uuid GENERATED ALWAYS AS (sealed_key(access_token)) STORED,
  ADD FOREIGN KEY (tenant_id, refresh_key) REFERENCES data_keys (tenant_id, id),
  ADD FOREIGN KEY (tenant_id, access_key) REFERENCES data_keys (tenant_id, id);
ALTER TABLE signing_keys
  ADD COLUMN data_key uuid GENERATED ALWAYS AS (sealed_key(sealed_key)) STORED,
  ADD FOREIGN KEY (tenant_id, data_key) REFERENCES data_keys (tenant_id, id);
ALTER TABLE flows
  ADD COLUMN data_key uuid GENERATED ALWAYS AS (sealed_key(request)) STORED,
  ADD FOREIGN KEY (tenant_id, data_key) REFERENCES data_keys (tenant_id, id);
ALTER TABLE pushed_requests
  ADD COLUMN data_key uuid GENERATED ALWAYS AS (sealed_key(request)) STORED,
  ADD FOREIGN KEY (tenant_id, data_key) REFERENCES data_keys (tenant_id, id);

ALTER TABLE google_revocations
  ADD COLUMN data_key uuid GENERATED ALWAYS AS (sealed_key(token)) STORED,
  ADD FOREIGN KEY (tenant_id, data_key) REFERENCES data_keys (tenant_id, id);

ALTER TABLE upstream_clients
  ADD COLUMN secret_key uuid GENERATED ALWAYS AS (sealed_key(secret)) STORED,
  ADD FOREIGN KEY (tenant_id, secret_key) REFERENCES data_keys (tenant_id, id);

ALTER TABLE data_keys ADD COLUMN retired_at timestamptz;

-- A person's secret: without it nothing sealed for the person opens, whoever has the
-- data key. It is made by the database, so it stands in no statement and no log, never
-- changes, and is deleted to destroy what the person stored.
CREATE TABLE subject_secrets (
  tenant_id  uuid NOT NULL,
  subject_id uuid NOT NULL,
  id         uuid NOT NULL DEFAULT gen_random_uuid(), -- names it when it is gone
  secret     bytea NOT NULL DEFAULT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
             CHECK (length(secret) = 32),             -- from 366 random bits
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, subject_id),
  FOREIGN KEY (tenant_id, subject_id) REFERENCES subjects (tenant_id, id)
);

-- Everybody who is there has one: row-level security binds the owner too.
ALTER TABLE subjects NO FORCE ROW LEVEL SECURITY;
INSERT INTO subject_secrets (tenant_id, subject_id) SELECT tenant_id, id FROM subjects;
ALTER TABLE subjects FORCE ROW LEVEL SECURITY;

-- And everybody who comes, also to a server of the version before.
-- +goose StatementBegin
CREATE FUNCTION make_subject_secret() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.subject_secrets (tenant_id, subject_id) VALUES (NEW.tenant_id, NEW.id);
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER make_subject_secret AFTER INSERT ON subjects FOR EACH ROW EXECUTE FUNCTION make_subject_secret();

ALTER TABLE subject_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE subject_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON subject_secrets TO latchkey_runtime
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY jobs ON subject_secrets TO latchkey_jobs USING (true) WITH CHECK (true);
-- As for what only an erasure deletes (migration 0008). A retired data key also ends
-- with the last value under it; the active one of a tenant that lives never does.
CREATE POLICY erase ON subject_secrets AS RESTRICTIVE FOR DELETE TO latchkey_jobs
  USING (EXISTS (SELECT FROM tenants s WHERE s.id = subject_secrets.tenant_id AND s.status = 'suspended'));
DROP POLICY erase ON data_keys;
CREATE POLICY erase ON data_keys AS RESTRICTIVE FOR DELETE TO latchkey_jobs
  USING (state = 'retired' OR EXISTS (SELECT FROM tenants s WHERE s.id = data_keys.tenant_id AND s.status = 'suspended'));

-- Nobody chooses a secret. A server destroys a person's; only the operator's commands
-- change or destroy data keys, as the jobs role, which reads no wrapped key, no secret
-- and no sealed value.
GRANT SELECT, INSERT (tenant_id, subject_id), DELETE ON subject_secrets TO latchkey_runtime;
GRANT UPDATE (token) ON google_revocations TO latchkey_runtime; -- sealed anew
GRANT UPDATE (secret) ON upstream_clients TO latchkey_runtime;
GRANT SELECT (tenant_id, subject_id, id), DELETE ON subject_secrets TO latchkey_jobs;
GRANT SELECT (id, kek_id, state, created_at, retired_at), INSERT, UPDATE (kek_id, wrapped, state, retired_at) ON data_keys TO latchkey_jobs;
GRANT SELECT (email_key), UPDATE (email) ON connections TO latchkey_jobs;
GRANT SELECT (refresh_key, access_key), UPDATE (refresh_expires_at) ON credentials TO latchkey_jobs;

-- +goose Down
REVOKE SELECT (refresh_key, access_key), UPDATE (refresh_expires_at) ON credentials FROM latchkey_jobs;
REVOKE SELECT (email_key), UPDATE (email) ON connections FROM latchkey_jobs;
REVOKE SELECT (id, kek_id, state, created_at, retired_at), INSERT, UPDATE (kek_id, wrapped, state, retired_at) ON data_keys FROM latchkey_jobs;
DROP POLICY erase ON data_keys;
CREATE POLICY erase ON data_keys AS RESTRICTIVE FOR DELETE TO latchkey_jobs
  USING (EXISTS (SELECT FROM tenants s WHERE s.id = data_keys.tenant_id AND s.status = 'suspended'));
REVOKE UPDATE (secret) ON upstream_clients FROM latchkey_runtime;
REVOKE UPDATE (token) ON google_revocations FROM latchkey_runtime;
DROP TRIGGER make_subject_secret ON subjects;
DROP FUNCTION make_subject_secret();
DROP TABLE subject_secrets;
ALTER TABLE data_keys DROP COLUMN retired_at;
ALTER TABLE upstream_clients DROP COLUMN secret_key;
ALTER TABLE google_revocations DROP COLUMN data_key;
ALTER TABLE pushed_requests DROP COLUMN data_key;
ALTER TABLE flows DROP COLUMN data_key;
ALTER TABLE signing_keys DROP COLUMN data_key;
ALTER TABLE credentials DROP COLUMN refresh_key, DROP COLUMN access_key;
ALTER TABLE connections DROP COLUMN email_key;
DROP FUNCTION sealed_key(bytea);
