-- Accounts that were imported from another system, so that an import can be repeated.
CREATE TABLE imports (
    -- The name of the system.
    source        TEXT NOT NULL,
    -- The account's key there.
    source_id     TEXT NOT NULL,
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of everything that was imported.
    hash_seen     BYTEA NOT NULL,
    -- Whether the account was disabled there.
    disabled_seen BOOLEAN NOT NULL,
    -- The token_hash of the access token that was imported, or empty.
    token_seen    BYTEA NOT NULL,
    imported_at   BIGINT NOT NULL,
    PRIMARY KEY (source, source_id)
);

CREATE INDEX imports_by_user ON imports (user_id);
