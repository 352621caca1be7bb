-- What an operator may do: admin, support or auditor. NULL for all other accounts.
ALTER TABLE users ADD COLUMN role TEXT;

CREATE INDEX users_by_role ON users (role) WHERE role IS NOT NULL;

-- The other account that a mail is about, if it is not about its recipient's.
ALTER TABLE mails ADD COLUMN about_id TEXT REFERENCES users (id) ON DELETE CASCADE;

CREATE INDEX mails_by_subject ON mails (about_id) WHERE about_id IS NOT NULL;
