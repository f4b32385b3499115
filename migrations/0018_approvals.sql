-- +goose Up

-- The person's word about one act of a tool, for clients that cannot ask for it
-- (decision 0022). A row is a question under way: pending until the person has answered,
-- then approved or declined until the resource server has fetched the answer, which
-- deletes it. The secret is in the link alone, and sealed with the question, so that who
-- asks again gets the same link.
CREATE TABLE approvals (
  tenant_id     uuid NOT NULL,
  grant_id      uuid NOT NULL,
  digest        bytea NOT NULL CHECK (length(digest) = 32), -- the resource server's, of tool, arguments, question and what the question describes
  secret_hash   bytea NOT NULL CHECK (length(secret_hash) = 32),
  subject_id    uuid NOT NULL,
  connection_id uuid NOT NULL,         -- the Google account that the act uses
  client_id     text NOT NULL,
  tool          text NOT NULL CHECK (length(tool) BETWEEN 1 AND 64),
  question      bytea NOT NULL,        -- sealed, purpose "approval_question"
  status        text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'declined')),
  session_id    uuid,                  -- in which the person answered: the word ends with it
  created_at    timestamptz NOT NULL DEFAULT now(),
  answered_at   timestamptz,
  expires_at    timestamptz NOT NULL,
  data_key      uuid GENERATED ALWAYS AS (sealed_key(question)) STORED,
  PRIMARY KEY (tenant_id, grant_id, digest),
  UNIQUE (tenant_id, secret_hash),
  CHECK ((status = 'pending') = (session_id IS NULL) AND (status = 'pending') = (answered_at IS NULL)),
  FOREIGN KEY (tenant_id, grant_id) REFERENCES grants (tenant_id, id),
  FOREIGN KEY (tenant_id, subject_id) REFERENCES subjects (tenant_id, id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id),
  FOREIGN KEY (tenant_id, data_key) REFERENCES data_keys (tenant_id, id)
);
CREATE INDEX approvals_subject ON approvals (tenant_id, subject_id, created_at);
CREATE INDEX approvals_expires ON approvals (expires_at);

CREATE TRIGGER refuse_erased BEFORE INSERT ON approvals FOR EACH ROW EXECUTE FUNCTION refuse_erased();

-- What was asked never changes, only what became of it.
GRANT SELECT, INSERT, UPDATE (status, session_id, answered_at, expires_at), DELETE ON approvals TO latchkey_runtime;
GRANT SELECT, UPDATE, DELETE ON approvals TO latchkey_jobs; -- the sweep. UPDATE: for FOR UPDATE SKIP LOCKED

ALTER TABLE approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE approvals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON approvals TO latchkey_runtime
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY jobs ON approvals TO latchkey_jobs USING (true) WITH CHECK (true);

-- +goose Down
DROP TABLE approvals;
