-- Makes the audit trail append-only on SQLite. It runs at each start, after the migrations.
CREATE TRIGGER IF NOT EXISTS events_are_not_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

-- INSERT OR REPLACE deletes a row without the trigger for deletions.
CREATE TRIGGER IF NOT EXISTS events_are_not_replaced BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

-- Only events from before a mark may be deleted.
CREATE TRIGGER IF NOT EXISTS events_are_kept BEFORE DELETE ON events
WHEN NOT EXISTS (
    SELECT 1 FROM server_facts
    WHERE name = CASE
            WHEN OLD.name LIKE 'login.%' OR OLD.name LIKE 'session.%' THEN 'login_events_kept_since'
            ELSE 'events_kept_since'
        END
    AND OLD.at < CAST(value AS INTEGER)
)
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;
