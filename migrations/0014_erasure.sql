-- +goose Up

-- A person who is being erased, or was: nothing personal is left in the row, google_sub
-- is 'erased:' and the id, so who comes back is another subject. The rest goes when no
-- access token of theirs can live any more, and the row when its receipt has been there
-- for a month. erasure_code opens the receipt; erasure_next_at is when somebody has to
-- do something about it; erasure_google is set at the end: whether anything was left to
-- be withdrawn at Google.
ALTER TABLE subjects
  ADD COLUMN erasing_at timestamptz,
  ADD COLUMN erasure_next_at timestamptz,
  ADD COLUMN erasure_code bytea CHECK (erasure_code IS NULL OR length(erasure_code) = 32), -- SHA-256 of a 256-bit random secret
  ADD COLUMN erasure_google text CHECK (erasure_google IN ('done', 'unconfirmed')),
  ADD COLUMN erasure_receipt text CHECK (length(erasure_receipt) <= 65536),
  ADD CONSTRAINT subjects_erased_is_nobody CHECK ((erasing_at IS NULL) = (google_sub <> 'erased:' || id)),
  ADD CONSTRAINT subjects_erasure_ends CHECK ((erasure_google IS NULL) = (erasure_receipt IS NULL) AND (erasing_at IS NOT NULL OR erasure_receipt IS NULL));
CREATE INDEX subjects_erasure_next ON subjects (erasure_next_at) WHERE erasure_next_at IS NOT NULL;
CREATE UNIQUE INDEX subjects_erasure_code ON subjects (tenant_id, erasure_code) WHERE erasure_code IS NOT NULL;

-- What a sign-in under way brings for somebody who is being erased is refused. The lock
-- waits for an erasure that is being written, and an erasure for it.
-- +goose StatementBegin
CREATE FUNCTION refuse_erased() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  of uuid;
  since timestamptz;
BEGIN
  IF TG_TABLE_NAME = 'credentials' THEN
    SELECT subject_id INTO of FROM public.connections WHERE tenant_id = NEW.tenant_id AND id = NEW.connection_id;
  ELSE
    of := NEW.subject_id;
  END IF;
  SELECT erasing_at INTO since FROM public.subjects WHERE tenant_id = NEW.tenant_id AND id = of FOR KEY SHARE;
  IF since IS NOT NULL THEN
    RAISE EXCEPTION 'the subject is erased' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER refuse_erased BEFORE INSERT ON connections FOR EACH ROW EXECUTE FUNCTION refuse_erased();
CREATE TRIGGER refuse_erased BEFORE INSERT OR UPDATE OF linked_at ON credentials FOR EACH ROW EXECUTE FUNCTION refuse_erased(); -- linked_at: a sign-in, no refresh
CREATE TRIGGER refuse_erased BEFORE INSERT ON consents FOR EACH ROW EXECUTE FUNCTION refuse_erased();
CREATE TRIGGER refuse_erased BEFORE INSERT ON grants FOR EACH ROW EXECUTE FUNCTION refuse_erased();
CREATE TRIGGER refuse_erased BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION refuse_erased();
CREATE TRIGGER refuse_erased BEFORE INSERT ON links FOR EACH ROW EXECUTE FUNCTION refuse_erased();

-- A server deletes these rows of people who are being erased, and of nobody else: the
-- database sees to it.
GRANT DELETE ON subjects, connections, credentials, consents, grants, sessions TO latchkey_runtime;
CREATE POLICY erase_subject ON subjects AS RESTRICTIVE FOR DELETE TO latchkey_runtime USING (erasing_at IS NOT NULL);
-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['connections', 'consents', 'grants', 'sessions'] LOOP
    EXECUTE format($p$CREATE POLICY erase_subject ON %1$I AS RESTRICTIVE FOR DELETE TO latchkey_runtime
      USING (EXISTS (SELECT FROM subjects s WHERE s.tenant_id = %1$I.tenant_id AND s.id = %1$I.subject_id AND s.erasing_at IS NOT NULL))$p$, t);
  END LOOP;
END $$;
-- +goose StatementEnd
CREATE POLICY erase_subject ON credentials AS RESTRICTIVE FOR DELETE TO latchkey_runtime
  USING (EXISTS (SELECT FROM connections c JOIN subjects s ON s.tenant_id = c.tenant_id AND s.id = c.subject_id
    WHERE c.tenant_id = credentials.tenant_id AND c.id = credentials.connection_id AND s.erasing_at IS NOT NULL));

-- Whose turn it is, across tenants; the work is done as that tenant.
GRANT SELECT (erasing_at, erasure_next_at, erasure_google), UPDATE (erasure_next_at) ON subjects TO latchkey_jobs;

-- +goose Down
REVOKE SELECT (erasing_at, erasure_next_at, erasure_google), UPDATE (erasure_next_at) ON subjects FROM latchkey_jobs;
DROP POLICY erase_subject ON subjects;
DROP POLICY erase_subject ON connections;
DROP POLICY erase_subject ON credentials;
DROP POLICY erase_subject ON consents;
DROP POLICY erase_subject ON grants;
DROP POLICY erase_subject ON sessions;
REVOKE DELETE ON subjects, connections, credentials, consents, grants, sessions FROM latchkey_runtime;
DROP TRIGGER refuse_erased ON connections;
DROP TRIGGER refuse_erased ON credentials;
DROP TRIGGER refuse_erased ON consents;
DROP TRIGGER refuse_erased ON grants;
DROP TRIGGER refuse_erased ON sessions;
DROP TRIGGER refuse_erased ON links;
DROP FUNCTION refuse_erased();
ALTER TABLE subjects DROP COLUMN erasing_at, DROP COLUMN erasure_next_at, DROP COLUMN erasure_code, DROP COLUMN erasure_google, DROP COLUMN erasure_receipt;
