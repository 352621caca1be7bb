-- What people see and do with an account of their own.

-- The latest login; a session remembers the one before it.
ALTER TABLE users ADD COLUMN last_login_at BIGINT;
ALTER TABLE sessions ADD COLUMN previous_login_at BIGINT;
-- The network that the session began from; empty for sessions from before this column.
ALTER TABLE sessions ADD COLUMN network TEXT NOT NULL DEFAULT '';
-- When the password was last proven in this session; never, for sessions from before this column.
ALTER TABLE sessions ADD COLUMN proven_at BIGINT NOT NULL DEFAULT 0;
