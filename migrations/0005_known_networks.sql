-- Failed logins are counted for those whom an account knows and for strangers apart.

-- Attempts that were counted before their password is compared, and are not settled yet; and when they count as failed, for
-- their server has ended.
ALTER TABLE account_throttles ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0;
ALTER TABLE account_throttles ADD COLUMN reserved_until BIGINT NOT NULL DEFAULT 0;

-- Networks from which somebody has logged in to an account.
CREATE TABLE known_networks (
    -- known:<account>:<HMAC of the network>; failed logins from there are counted under the same key.
    key     TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The latest login from there, to the day.
    seen_at BIGINT NOT NULL
);

CREATE INDEX known_networks_by_user ON known_networks (user_id, seen_at);
