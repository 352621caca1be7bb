-- Makes the audit trail append-only on PostgreSQL. It runs after the migrations.
CREATE OR REPLACE FUNCTION keep_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- Only events from before a mark may be deleted.
        IF EXISTS (
            SELECT 1 FROM server_facts
            WHERE name = CASE
                    WHEN OLD.name LIKE 'login.%' OR OLD.name LIKE 'session.%' THEN 'login_events_kept_since'
                    ELSE 'events_kept_since'
                END
            AND OLD.at < CAST(value AS BIGINT)
        ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'events are append-only';
END
$$;

DROP TRIGGER IF EXISTS events_are_kept ON events;
CREATE TRIGGER events_are_kept BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep_events();

DROP TRIGGER IF EXISTS events_are_not_truncated ON events;
CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION keep_events();
