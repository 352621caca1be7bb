-- Invitations to register.
CREATE TABLE invitations (
    id         TEXT PRIMARY KEY,
    -- SHA-256 of the link's token: a copy of this table opens nothing.
    token_hash BYTEA NOT NULL UNIQUE,
    -- The only email that can register with it. NULL if any email can.
    email      TEXT,
    email_key  TEXT,
    -- Whether the link is sent to the email, so that its use confirms the email.
    mailed     BOOLEAN NOT NULL,
    note       TEXT NOT NULL,
    uses       BIGINT NOT NULL,
    uses_left  BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    -- The account that registered with an invitation for one email. They are deleted together.
    user_id    TEXT REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX invitations_by_user ON invitations (user_id) WHERE user_id IS NOT NULL;

-- The groups that a new account joins.
CREATE TABLE invitation_groups (
    invitation_id TEXT NOT NULL REFERENCES invitations (id) ON DELETE CASCADE,
    group_id      TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    PRIMARY KEY (invitation_id, group_id)
);

CREATE INDEX invitation_groups_by_group ON invitation_groups (group_id);

-- The invitation that a mail sends.
ALTER TABLE mails ADD COLUMN invitation_id TEXT REFERENCES invitations (id) ON DELETE CASCADE;

CREATE INDEX mails_by_invitation ON mails (invitation_id) WHERE invitation_id IS NOT NULL;
