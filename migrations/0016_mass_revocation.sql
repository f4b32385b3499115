-- +goose Up

-- Long work that a killed command leaves to the next one, or to any server (DESIGN §4).
-- A job belongs to no tenant: it may be about all of them. Whoever holds the lease
-- works; selector is canonical, so the same command again finds the job that is open.
CREATE TABLE jobs (
  id          uuid PRIMARY KEY,
  kind        text NOT NULL CHECK (kind IN ('revoke')),
  selector    jsonb NOT NULL, -- tenant, subject, client; what is not there is every one
  actor       text NOT NULL CHECK (actor <> ''), -- on whose word
  request_id  text NOT NULL DEFAULT '',
  cutoff      timestamptz NOT NULL DEFAULT now(),
  lease_owner uuid,
  lease_until timestamptz,
  finished_at timestamptz
);
CREATE INDEX jobs_cutoff ON jobs (cutoff, id); -- the feed
CREATE UNIQUE INDEX jobs_one_open ON jobs (kind, selector) WHERE finished_at IS NULL;

-- Of a tenant, what was there before a time is revoked: everything, or one person's, or
-- one client's. The row says so before any grant is marked. It is also how far the job
-- is with the tenant: what it does now, and the last row it did. Closed: every grant is
-- marked itself, also those of transactions that had begun before the time.
CREATE TABLE revocation_epochs (
  tenant_id      uuid NOT NULL REFERENCES tenants (id),
  job_id         uuid NOT NULL REFERENCES jobs (id),
  revoked_before timestamptz NOT NULL,  -- grants.created_at up to and including it
  subject_id     uuid,                  -- NULL: everybody's
  client_id      text NOT NULL DEFAULT '' CHECK (length(client_id) <= 2048), -- '': of all clients
  google         boolean NOT NULL,      -- Google accounts are disconnected too
  stage          text NOT NULL DEFAULT 'grants' CHECK (stage IN ('grants', 'sessions', 'connections', 'done')),
  after          bytea,                 -- key of the last row of this stage; NULL: from the first
  total          bigint NOT NULL DEFAULT 0, -- rows counted when it began
  grants         bigint NOT NULL DEFAULT 0, -- done
  sessions       bigint NOT NULL DEFAULT 0,
  connections    bigint NOT NULL DEFAULT 0,
  finished_at    timestamptz,
  closed_at      timestamptz,
  PRIMARY KEY (tenant_id, job_id),
  CHECK ((stage = 'done') = (finished_at IS NOT NULL)),
  CHECK (closed_at IS NULL OR finished_at IS NOT NULL)
);
-- What each token request looks at, and almost always empty.
CREATE INDEX revocation_epochs_open ON revocation_epochs (tenant_id) WHERE closed_at IS NULL;
CREATE INDEX revocation_epochs_job ON revocation_epochs (job_id, tenant_id);

-- The feed of grants leaves out what an epoch says: the index has none of them, so the
-- feed costs the same after millions. A server of the version before this one reads its
-- feed without an index until it is replaced.
DROP INDEX grants_revoked;
CREATE INDEX grants_revoked ON grants (revoked_at, id) WHERE revoked_at IS NOT NULL AND revoked_reason <> 'mass_revocation';

GRANT SELECT, INSERT, UPDATE (lease_owner, lease_until, finished_at), DELETE ON jobs TO latchkey_jobs;
-- A server marks rows as the tenant whose they are; it can neither make an epoch nor
-- change whom one is about.
GRANT SELECT, UPDATE (stage, after, grants, sessions, connections, finished_at, closed_at), DELETE ON revocation_epochs TO latchkey_runtime;
GRANT SELECT, INSERT, UPDATE (total), DELETE ON revocation_epochs TO latchkey_jobs;
GRANT SELECT (status) ON connections TO latchkey_jobs; -- to count them

ALTER TABLE revocation_epochs ENABLE ROW LEVEL SECURITY;
ALTER TABLE revocation_epochs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON revocation_epochs TO latchkey_runtime
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY jobs ON revocation_epochs TO latchkey_jobs USING (true) WITH CHECK (true);
-- An erased person's grants are revoked themselves.
CREATE POLICY erase_subject ON revocation_epochs AS RESTRICTIVE FOR DELETE TO latchkey_runtime
  USING (EXISTS (SELECT FROM subjects s WHERE s.tenant_id = revocation_epochs.tenant_id AND s.id = revocation_epochs.subject_id AND s.erasing_at IS NOT NULL));
-- An epoch that is not closed is deleted with its tenant only.
CREATE POLICY erase ON revocation_epochs AS RESTRICTIVE FOR DELETE TO latchkey_jobs
  USING (closed_at IS NOT NULL OR EXISTS (SELECT FROM tenants s WHERE s.id = revocation_epochs.tenant_id AND s.status = 'suspended'));

-- +goose Down
REVOKE SELECT (status) ON connections FROM latchkey_jobs;
DROP INDEX grants_revoked;
CREATE INDEX grants_revoked ON grants (revoked_at, id) WHERE revoked_at IS NOT NULL;
DROP TABLE revocation_epochs, jobs;
