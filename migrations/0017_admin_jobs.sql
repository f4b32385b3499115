-- +goose Up

-- Long work on one tenant that the admin API begins and any server does: values are moved
-- to the active data key, the audit trail is verified. How far it is, and in the end what
-- came of it, stands in the row. A server of the version before this one leaves it alone.
ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN ('revoke', 'rewrap', 'verify'));
ALTER TABLE jobs ADD COLUMN progress jsonb;
GRANT UPDATE (progress) ON jobs TO latchkey_jobs;

-- +goose Down
DELETE FROM jobs WHERE kind <> 'revoke';
ALTER TABLE jobs DROP COLUMN progress;
ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN ('revoke'));
