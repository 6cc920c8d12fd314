-- +goose Up
-- An order across streams, for Reader. Events of before have no position: a reader begins with what is
-- appended after this migration. The column gets its default in a second step, so that the table is not
-- rewritten. CACHE 1 is what package sequence relies on.
CREATE SEQUENCE events_position_seq CACHE 1;
ALTER TABLE events ADD COLUMN position bigint;
ALTER TABLE events ALTER COLUMN position SET DEFAULT nextval('events_position_seq');
-- To all roles, because processes of the release before append before the grants of this one are made.
GRANT USAGE ON SEQUENCE events_position_seq TO PUBLIC;
ALTER SEQUENCE events_position_seq OWNED BY events.position;
CREATE UNIQUE INDEX events_by_position ON events (position) WHERE position IS NOT NULL;

CREATE TABLE event_readers (
    name     text   PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE event_readers IS 'How far each reader of all streams has come: the position of the last event that it handled or passed over.';

-- +goose Down
DROP TABLE event_readers;
ALTER TABLE events DROP COLUMN position;
