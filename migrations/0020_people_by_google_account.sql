-- +goose Up

-- Google's events are about an account, in every tenant: who signs in with one that is not
-- linked is found by it too.
CREATE INDEX subjects_google_sub ON subjects (google_sub);

-- +goose Down
DROP INDEX subjects_google_sub;
