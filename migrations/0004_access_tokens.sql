-- Personal access tokens: what people give to programs of their own.

CREATE TABLE access_tokens (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the token: a copy of this table lets nobody in.
    token_hash   BYTEA NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    -- read or full.
    scope        TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    -- To the minute; NULL until the first use.
    last_used_at BIGINT,
    expires_at   BIGINT NOT NULL
);

CREATE INDEX access_tokens_by_user ON access_tokens (user_id, created_at);
CREATE INDEX access_tokens_by_time ON access_tokens (expires_at);
