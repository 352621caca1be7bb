-- Links that nobody gets. An ask about an email without an account writes one, so that it costs what any other ask costs.
CREATE TABLE decoy_links (
    token_hash BYTEA PRIMARY KEY,
    kind       TEXT NOT NULL,
    -- What the counters call the mailbox: never its address.
    mailbox    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX decoy_links_by_mailbox ON decoy_links (mailbox);
CREATE INDEX decoy_links_by_time ON decoy_links (expires_at);
