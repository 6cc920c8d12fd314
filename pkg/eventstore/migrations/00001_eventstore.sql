-- +goose Up
CREATE TABLE events (
    stream_id        text        NOT NULL CHECK (stream_id <> ''),
    version          bigint      NOT NULL CHECK (version >= 1),
    -- The version that must exist before this one; none before the first.
    previous_version bigint      GENERATED ALWAYS AS (NULLIF(version - 1, 0)) STORED,
    event_type       text        NOT NULL,
    data             jsonb       NOT NULL,
    metadata         jsonb       NOT NULL DEFAULT '{}',
    -- The clock at the insertion, not at the start of the transaction: a
    -- transaction that began early may append late, and within a stream the
    -- times must follow the versions.
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream_id, version),
    FOREIGN KEY (stream_id, previous_version) REFERENCES events (stream_id, version)
);
COMMENT ON TABLE events IS 'Append-only streams. The primary key allows each version once, the foreign key allows none without the one before it.';

-- Finds the streams without reading every event.
CREATE INDEX events_first ON events (stream_id) WHERE version = 1;

CREATE TABLE snapshots (
    stream_id text        PRIMARY KEY,
    version   bigint      NOT NULL,
    state     jsonb       NOT NULL,
    taken_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (stream_id, version) REFERENCES events (stream_id, version)
);
COMMENT ON TABLE snapshots IS 'A cache of the state after a version. May be deleted at any time.';

-- +goose StatementBegin
CREATE FUNCTION events_are_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are append-only: % refused', TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Append an event that corrects the earlier one.';
END
$$;
-- +goose StatementEnd

-- Per statement, so that it also refuses TRUNCATE and statements that match no row.
CREATE TRIGGER events_are_facts BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_facts();

-- +goose Down
DROP TABLE snapshots;
DROP TABLE events;
DROP FUNCTION events_are_facts;
