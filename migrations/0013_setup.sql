-- The link by which the first admin is made. There is at most one.
CREATE TABLE setup_links (
    token_hash BYTEA PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
