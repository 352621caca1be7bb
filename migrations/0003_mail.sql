-- Mail, and what its links do.

-- When the owner proved that the address is theirs; NULL while they haven't.
ALTER TABLE users ADD COLUMN email_verified_at BIGINT;

-- Mail that waits to be sent. It says what to tell whom, and holds no secret: a link's token is made when its mail is sent.
CREATE TABLE mails (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    -- Whose account it is about; NULL where that is yet to be found out.
    user_id    TEXT REFERENCES users (id) ON DELETE CASCADE,
    -- An address that the account doesn't tell; empty where it does.
    address    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    attempts   BIGINT NOT NULL
);

CREATE INDEX mails_by_time ON mails (due_at);
CREATE INDEX mails_by_user ON mails (user_id);

-- Links in mails that were sent. Each works once.
CREATE TABLE links (
    -- SHA-256 of the link's token: a copy of this table opens nothing.
    token_hash BYTEA PRIMARY KEY,
    kind       TEXT NOT NULL,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The address that following the link proves, or brings back.
    address    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX links_by_user ON links (user_id);
CREATE INDEX links_by_time ON links (expires_at);
