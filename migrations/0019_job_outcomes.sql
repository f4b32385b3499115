-- +goose Up

-- Of a rewrap the key-encryption key that it moves to: only a server whose own current key
-- that is takes it. How often servers have begun a job, and in one word why the last time
-- failed; a job that is finished and has one has failed for good. A server of the version
-- before this one names no key and takes any job, until it is replaced.
ALTER TABLE jobs ADD COLUMN kek_id text NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN attempts integer NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN failure text NOT NULL DEFAULT '' CHECK (failure ~ '^[a-z_]{0,40}$');
GRANT UPDATE (attempts, failure) ON jobs TO latchkey_jobs;

-- +goose Down
ALTER TABLE jobs DROP COLUMN failure, DROP COLUMN attempts, DROP COLUMN kek_id;
