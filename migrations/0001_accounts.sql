-- One set of migrations for SQLite and PostgreSQL: only what both read alike.
-- Identifiers are UUIDs (version 7) made by the program; times are milliseconds since 1970 in UTC.

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL,
    email_key     TEXT NOT NULL UNIQUE,
    username      TEXT NOT NULL,
    username_key  TEXT NOT NULL UNIQUE,
    -- A PHC string: the algorithm, its parameters, the salt and the tag.
    password_hash TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    disabled_at   BIGINT
);

CREATE TABLE sessions (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the bearer token: a copy of this table lets nobody in.
    token_hash   BYTEA NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_id, created_at);

-- What an address may still do: the time at which its whole allowance will be there again.
CREATE TABLE address_throttles (
    key     TEXT PRIMARY KEY,
    full_at BIGINT NOT NULL
);

-- Failed logins of an account, or of a name that is nobody's.
CREATE TABLE account_throttles (
    key      TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    delay    BIGINT NOT NULL,
    last_at  BIGINT NOT NULL
);
