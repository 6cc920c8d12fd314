-- +goose Up

-- One row per record to publish. Range partitions by id, one per UTC day, work
-- because a UUIDv7 begins with its time; published rows go by dropping a
-- partition, since deleting them row by row would leave the table bloated at
-- exactly the place that the relay reads.
CREATE TABLE outbox (
    id                  uuid        NOT NULL, -- UUIDv7; ce_id
    seq                 bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    shard               smallint    NOT NULL, -- hash of key: one leader at a time publishes a shard
    aggregate_type      text        NOT NULL,
    aggregate_id        text        NOT NULL, -- ce_subject
    event_type          text        NOT NULL, -- ce_type
    topic               text        NOT NULL,
    key                 bytea,
    payload             bytea,                -- NULL is a tombstone
    ce_specversion      text,                 -- NULL: a raw record; its headers are exactly those in headers
    ce_source           text,
    ce_time             text,                 -- text, not timestamptz: the very bytes of the header
    ce_aggregateversion bigint,
    ce_correlationid    text,
    ce_causationid      text,
    content_type        text,
    traceparent         text,
    tracestate          text,
    headers             jsonb,                -- [{"key": …, "value": base64}], in order
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at        timestamptz,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

-- Catches ids of days that have no partition yet, and ids that are not UUIDv7.
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;

-- All that the relay reads, in its order. A row leaves the index when it is
-- marked as published, so the index stays as small as the backlog.
CREATE INDEX outbox_unpublished ON outbox (shard, seq) WHERE published_at IS NULL;

-- Who may publish a shard, until when. A lease and not an advisory lock: a
-- frozen process keeps its session, and with it every lock, for ever.
CREATE TABLE outbox_lease (
    shard      smallint    PRIMARY KEY,
    holder     uuid,
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO outbox_lease (shard) SELECT generate_series(0, 3);

-- The relays that are alive, with or without a shard: each one's fair share is
-- the number of shards divided by their number.
CREATE TABLE outbox_relay (
    id         uuid        PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
