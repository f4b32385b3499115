-- +goose Up

-- Roles (DESIGN §4). The runtime role sees one tenant at a time; the jobs role does
-- cross-tenant work (the tenant directory, sweeps). Neither owns anything, neither
-- may bypass row-level security. Roles belong to the whole cluster, so they may
-- exist already, made by an administrator or for another database; then the
-- migrating user needs no CREATEROLE.
-- +goose StatementBegin
DO $$
DECLARE r text;
BEGIN
  FOREACH r IN ARRAY ARRAY['latchkey_runtime', 'latchkey_jobs'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', r);
      EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL; -- a migration of another database was first
        WHEN insufficient_privilege THEN
          RAISE EXCEPTION 'role % may not create role %: give it CREATEROLE, or have an administrator run CREATE ROLE % NOLOGIN',
            current_user, r, r USING ERRCODE = 'insufficient_privilege';
      END;
    END IF;
    -- DESIGN §1.3: row-level security binds nobody who may pass it by.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = r AND (rolsuper OR rolbypassrls)) THEN
      RAISE EXCEPTION 'role % passes row-level security by: run ALTER ROLE % NOSUPERUSER NOBYPASSRLS', r, r;
    END IF;
  END LOOP;
END $$;
-- +goose StatementEnd

-- Whoever migrates may act as both roles, so that one login user can do everything in
-- development; in production the servers' login users are made members instead. A
-- superuser needs no membership. Since PostgreSQL 16 the creator of a role has the
-- right to grant it (ADMIN) but not to use it (SET), so it grants it to itself.
-- +goose StatementBegin
DO $$
DECLARE
  r text;
  use text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  FOREACH r IN ARRAY ARRAY['latchkey_runtime', 'latchkey_jobs'] LOOP
    IF NOT pg_has_role(current_user, r, use) THEN
      BEGIN
        EXECUTE format('GRANT %I TO %I', r, current_user);
      EXCEPTION
        WHEN insufficient_privilege THEN
          RAISE WARNING 'role % may not act as %: have an administrator run GRANT % TO the login users of the servers', current_user, r, r;
        WHEN unique_violation OR internal_error THEN NULL; -- "tuple concurrently updated": a migration of another database grants the same
      END;
    END IF;
  END LOOP;
END $$;
-- +goose StatementEnd

GRANT SELECT ON goose_db_version TO latchkey_runtime;
GRANT USAGE ON SCHEMA public TO latchkey_runtime, latchkey_jobs;

CREATE TABLE tenants (
  id         uuid PRIMARY KEY,
  slug       text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,62})$'),
  status     text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
  created_at timestamptz NOT NULL DEFAULT now()
);
-- The default tenant: its issuer and resource come from the settings.
INSERT INTO tenants (id, slug) VALUES ('00000000-0000-7000-8000-000000000001', 'default');

CREATE TABLE subjects (
  tenant_id  uuid NOT NULL REFERENCES tenants (id),
  id         uuid NOT NULL,
  google_sub text NOT NULL CHECK (length(google_sub) BETWEEN 1 AND 255), -- the key is Google's sub, never the e-mail
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, google_sub)
);

CREATE TABLE connections (
  tenant_id  uuid NOT NULL,
  id         uuid NOT NULL,
  subject_id uuid NOT NULL,
  google_sub text NOT NULL CHECK (length(google_sub) BETWEEN 1 AND 255),
  email      bytea NOT NULL,          -- sealed, purpose "email"
  hosted_domain text NOT NULL DEFAULT '',
  is_default boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, subject_id, google_sub),
  FOREIGN KEY (tenant_id, subject_id) REFERENCES subjects (tenant_id, id)
);
CREATE UNIQUE INDEX connections_one_default ON connections (tenant_id, subject_id) WHERE is_default;

CREATE TABLE credentials (
  tenant_id       uuid NOT NULL,
  connection_id   uuid NOT NULL,
  upstream_client text NOT NULL,      -- Google client id that minted the tokens; they work with no other
  refresh_token   bytea,              -- sealed, purpose "refresh_token"
  access_token    bytea,              -- sealed, purpose "access_token"
  access_expires_at timestamptz,
  google_scopes   text[] NOT NULL,    -- really granted, as Google said
  status          text NOT NULL CHECK (status IN ('active', 'needs_reauth', 'revoked')),
  last_error      text NOT NULL DEFAULT '', -- error class, never Google's text
  version         bigint NOT NULL DEFAULT 1, -- grows with every change; the compare-and-set of a refresh
  lease_owner     uuid,               -- who refreshes now
  lease_until     timestamptz,
  refreshed_at    timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, connection_id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id)
);

CREATE TABLE clients (
  tenant_id    uuid NOT NULL REFERENCES tenants (id),
  id           text NOT NULL CHECK (length(id) BETWEEN 1 AND 128),
  kind         text NOT NULL CHECK (kind IN ('static', 'dynamic')),
  name         text NOT NULL CHECK (length(name) <= 200),
  client_uri   text NOT NULL DEFAULT '' CHECK (length(client_uri) <= 2048),
  redirect_uris text[] NOT NULL CHECK (cardinality(redirect_uris) BETWEEN 1 AND 20),
  grant_types  text[] NOT NULL,
  auth_method  text NOT NULL CHECK (auth_method IN ('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt')),
  application_type text NOT NULL CHECK (application_type IN ('web', 'native')),
  scope        text NOT NULL DEFAULT '' CHECK (length(scope) <= 4096), -- as registered, informative
  secret_hash  bytea CHECK (secret_hash IS NULL OR length(secret_hash) = 32), -- SHA-256 of a 256-bit random secret
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CHECK (auth_method NOT IN ('client_secret_basic', 'client_secret_post') OR secret_hash IS NOT NULL)
);

-- A person on the way to Google and back. Only hashes: the state and the browser
-- secret that open the row are in the person's browser alone.
CREATE TABLE flows (
  tenant_id    uuid NOT NULL REFERENCES tenants (id),
  state_hash   bytea NOT NULL CHECK (length(state_hash) = 32),
  browser_hash bytea NOT NULL CHECK (length(browser_hash) = 32),
  request      bytea NOT NULL,        -- sealed, purpose "authorization_request"
  expires_at   timestamptz NOT NULL,
  consumed_at  timestamptz,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, state_hash)
);
CREATE INDEX flows_expires ON flows (expires_at);

CREATE TABLE consents (
  tenant_id  uuid NOT NULL,
  subject_id uuid NOT NULL,
  client_id  text NOT NULL,
  resource   text NOT NULL,
  scopes     text[] NOT NULL,
  snapshot   jsonb NOT NULL,          -- what the person was shown
  granted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, subject_id, client_id, resource),
  FOREIGN KEY (tenant_id, subject_id) REFERENCES subjects (tenant_id, id)
);

-- One row per authorization: code, refresh generation and revocation (DESIGN §4).
-- No column that a rotation changes is indexed, so a rotation is a HOT update.
CREATE TABLE grants (
  tenant_id      uuid NOT NULL,
  id             uuid NOT NULL,
  client_id      text NOT NULL,
  subject_id     uuid NOT NULL,
  connection_id  uuid NOT NULL,
  resource       text NOT NULL,
  scopes         text[] NOT NULL,
  offline        boolean NOT NULL,    -- whether refresh tokens are issued
  redirect_uri   text NOT NULL,
  code_challenge text NOT NULL CHECK (length(code_challenge) = 43),
  code_expires_at timestamptz NOT NULL,
  redeemed_at    timestamptz,
  generation     integer NOT NULL DEFAULT 0, -- of the live refresh token; 0 before the code is redeemed
  rotated_at     timestamptz,
  replays        smallint NOT NULL DEFAULT 0, -- idempotent repeats of the last rotation
  idle_expires_at timestamptz NOT NULL,
  expires_at     timestamptz NOT NULL,
  revoked_at     timestamptz,
  revoked_reason text NOT NULL DEFAULT '',
  created_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, subject_id) REFERENCES subjects (tenant_id, id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id)
) WITH (fillfactor = 70);
CREATE INDEX grants_subject ON grants (tenant_id, subject_id);

-- Client assertions seen (RFC 7523 §3): single use within their life. Unlogged: an
-- assertion lives 60 s, less than a crash and restart needs to be worth a WAL record.
CREATE UNLOGGED TABLE assertion_ids (
  tenant_id  uuid NOT NULL,
  client_id  text NOT NULL,
  jti_hash   bytea NOT NULL CHECK (length(jti_hash) = 32),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, client_id, jti_hash)
);
CREATE INDEX assertion_ids_expires ON assertion_ids (expires_at);

CREATE TABLE data_keys (
  tenant_id  uuid NOT NULL REFERENCES tenants (id),
  id         uuid NOT NULL,
  kek_id     text NOT NULL,           -- key-encryption key that wraps it
  wrapped    bytea NOT NULL,
  state      text NOT NULL CHECK (state IN ('active', 'retired')),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX data_keys_one_active ON data_keys (tenant_id) WHERE state = 'active';

CREATE TABLE signing_keys (
  tenant_id    uuid NOT NULL REFERENCES tenants (id),
  kid          text NOT NULL,
  purpose      text NOT NULL CHECK (purpose IN ('access_token', 'grant')),
  alg          text NOT NULL CHECK (alg IN ('ES256', 'EdDSA', 'RS256', 'HS256')),
  sealed_key   bytea NOT NULL,        -- sealed, purpose "signing_key"
  state        text NOT NULL CHECK (state IN ('next', 'active', 'retired')),
  created_at   timestamptz NOT NULL DEFAULT now(),
  activated_at timestamptz,
  retired_at   timestamptz,
  PRIMARY KEY (tenant_id, kid)
);
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (tenant_id, purpose) WHERE state = 'active';

-- Exact grants of the runtime role.
GRANT SELECT ON tenants TO latchkey_runtime;
GRANT SELECT, INSERT, UPDATE ON subjects, connections, credentials, clients, flows, consents, grants TO latchkey_runtime;
GRANT SELECT, INSERT ON assertion_ids TO latchkey_runtime;
GRANT SELECT, INSERT ON data_keys, signing_keys TO latchkey_runtime;
-- The jobs role: the directory and the sweeps.
GRANT SELECT ON tenants TO latchkey_jobs;
GRANT SELECT, UPDATE, DELETE ON flows, assertion_ids TO latchkey_jobs; -- UPDATE: for FOR UPDATE SKIP LOCKED

-- Row-level security on every table that has a tenant (DESIGN §1.3). nullif: a local
-- set_config reads back as '' after its transaction, not as NULL.
-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['tenants', 'subjects', 'connections', 'credentials', 'clients', 'flows', 'consents', 'grants',
                           'assertion_ids', 'data_keys', 'signing_keys'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format($p$CREATE POLICY tenant ON %I TO latchkey_runtime
      USING (%2$I = nullif(current_setting('app.tenant_id', true), '')::uuid)
      WITH CHECK (%2$I = nullif(current_setting('app.tenant_id', true), '')::uuid)$p$,
      t, CASE t WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END);
    EXECUTE format('CREATE POLICY jobs ON %I TO latchkey_jobs USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE signing_keys, data_keys, assertion_ids, grants, consents, flows, clients, credentials, connections, subjects, tenants;
REVOKE USAGE ON SCHEMA public FROM latchkey_runtime, latchkey_jobs;
