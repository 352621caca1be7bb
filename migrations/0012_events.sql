-- The audit trail. It holds no names, emails or addresses, and no foreign keys: events outlive what they are about.
CREATE TABLE events (
    -- A UUID, version 7, so that identifiers sort by age.
    id            TEXT PRIMARY KEY,
    at            BIGINT NOT NULL,
    -- A category and an operation, such as password.change.
    name          TEXT NOT NULL,
    -- ok, denied or failed.
    outcome       TEXT NOT NULL,
    -- What was changed. The server has no identifier.
    subject_kind  TEXT NOT NULL,
    subject_id    TEXT,
    -- Who changed it. NULL if it is the subject, or has no account.
    actor_kind    TEXT NOT NULL,
    actor_id      TEXT,
    -- The session or the access token of the request.
    credential_id TEXT,
    -- The entry point: page, api, token, command_line or server.
    via           TEXT NOT NULL,
    network       TEXT NOT NULL,
    client        TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    -- JSON with fixed keys.
    details       TEXT NOT NULL
);

CREATE INDEX events_by_subject ON events (subject_id, id);
CREATE INDEX events_by_actor ON events (actor_id, id) WHERE actor_id IS NOT NULL;
CREATE INDEX events_by_name ON events (name, id);
