-- +goose Up
-- One row per version of a projection that some process of this release or of an earlier one has
-- declared. The row decides who feeds its tables: the group's reader, within the transaction of its
-- batch (attached), or a filler with positions of its own.
CREATE TABLE projection_versions (
    projection   text        NOT NULL,
    version      integer     NOT NULL,
    state        text        NOT NULL CHECK (state IN ('waiting', 'filling', 'following', 'live', 'failed', 'dropped')),
    attached     boolean     NOT NULL,
    run          integer     NOT NULL DEFAULT 0,      -- counts the rebuilds: what an earlier one still does is refused
    cleared      boolean     NOT NULL DEFAULT true,   -- false: its tables have rows of an earlier run
    reason       text        NOT NULL DEFAULT '',     -- why it failed, or why a live one cannot catch up
    started_at   timestamptz,                         -- the latest filling
    attached_at  timestamptz,
    live_at      timestamptz,                         -- the latest switch to it
    per_second   double precision NOT NULL DEFAULT 0, -- records that the filler read per second
    filler       text        NOT NULL DEFAULT '',     -- the process that fills it
    filler_until timestamptz,                         -- another process may fill it from then on
    PRIMARY KEY (projection, version),
    CHECK (NOT attached OR state IN ('following', 'live'))
);
-- Queries read one version.
CREATE UNIQUE INDEX projection_versions_live ON projection_versions (projection) WHERE state = 'live';
COMMENT ON TABLE projection_versions IS 'The versions of the projections: which one queries read, and which ones the reader feeds.';

-- How far the tables of a version contain each partition. The reader moves the positions of attached
-- versions together with its own in consumer_positions; so a position that is behind shows that a
-- process of an earlier release, which does not know the version, was the reader in between.
CREATE TABLE projection_positions (
    projection      text    NOT NULL,
    version         integer NOT NULL,
    topic_id        uuid    NOT NULL,
    topic_partition integer NOT NULL,
    topic           text    NOT NULL,
    next_offset     bigint  NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (projection, version, topic_id, topic_partition)
) WITH (fillfactor = 50);

-- One row per event that a version contains: an event counts once, at however many offsets it lies.
CREATE TABLE projection_facts (
    projection text    NOT NULL,
    version    integer NOT NULL,
    key        text    NOT NULL,
    event_id   uuid    NOT NULL,
    PRIMARY KEY (projection, version, event_id, key)
);

-- Records that a version does not contain although it has passed them. They keep it from going live.
-- The records themselves are on their topics.
CREATE TABLE projection_failures (
    projection       text        NOT NULL,
    version          integer     NOT NULL,
    topic            text        NOT NULL,
    record_partition integer     NOT NULL,
    record_offset    bigint      NOT NULL,
    reason           text        NOT NULL,
    failed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, version, topic, record_partition, record_offset)
);

-- +goose Down
DROP TABLE projection_failures, projection_facts, projection_positions, projection_versions;
