-- +goose Up

-- Buckets of the rate limits (docs/decisions/0014). Unlogged: a crash forgets at most
-- a window. A bucket is its theoretical arrival time; the other columns are what
-- the last statement said and was answered, so that one upsert decides about many
-- buckets. Times are microseconds, points in time since 1970. Nothing is indexed but
-- the key, so that a decision is a HOT update. The buckets of the deployment, which
-- are counted by address, are the default tenant's.
CREATE UNLOGGED TABLE rate_limits (
  tenant_id uuid NOT NULL,
  name      text NOT NULL CHECK (length(name) <= 64),
  key       bytea NOT NULL CHECK (length(key) = 16), -- hash of who is counted
  tat       bigint NOT NULL,        -- theoretical arrival time; from then on the row means nothing
  decided   bigint NOT NULL,        -- when
  cost      bigint NOT NULL,        -- of a unit
  room      bigint NOT NULL,        -- that tat may be ahead of the clock
  spent     bigint NOT NULL,        -- admitted before
  asked     bigint NOT NULL,        -- units
  granted   bigint NOT NULL,        -- units of these
  PRIMARY KEY (tenant_id, name, key)
) WITH (fillfactor = 50);

-- One statement is about buckets of many tenants, so this is the jobs role's work.
GRANT SELECT, INSERT, UPDATE, DELETE ON rate_limits TO latchkey_jobs;

ALTER TABLE rate_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE rate_limits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rate_limits TO latchkey_runtime
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY jobs ON rate_limits TO latchkey_jobs USING (true) WITH CHECK (true);

-- +goose Down
DROP TABLE rate_limits;
