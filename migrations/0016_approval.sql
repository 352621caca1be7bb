-- When an account began to wait for the approval of an operator. NULL for all others. Nobody can log in to one that waits.
ALTER TABLE users ADD COLUMN pending_since BIGINT;

-- Until when the account is kept if it waits for approval, or if nobody confirms its email or logs in. NULL: for ever.
ALTER TABLE users ADD COLUMN kept_until BIGINT;

CREATE INDEX users_by_pending ON users (pending_since) WHERE pending_since IS NOT NULL;

CREATE INDEX users_by_kept_until ON users (kept_until) WHERE kept_until IS NOT NULL;
