-- +goose Up

-- What change data capture reads: events, and not raw rows, whose headers are a list that
-- no connector turns into headers. One name for all partitions, those to come included.
-- Nothing is decoded until somebody makes a slot.
CREATE PUBLICATION eventshop_outbox FOR TABLE outbox WHERE (ce_specversion IS NOT NULL)
    WITH (publish = 'insert', publish_via_partition_root = true);

-- Who relays events: the polling relay, or Debezium from a replication slot. The polling
-- relay has raw rows and what is published again in both cases. One row.
CREATE TABLE outbox_mode (
    one    boolean     PRIMARY KEY DEFAULT true CHECK (one),
    mode   text        NOT NULL DEFAULT 'polling' CHECK (mode IN ('polling', 'debezium')),
    slot   text        NOT NULL DEFAULT '', -- of mode debezium
    lost   text        NOT NULL DEFAULT '', -- why the slot can not be trusted any more; stays until the mode is set
    since  timestamptz NOT NULL DEFAULT clock_timestamp(),
    set_by text        NOT NULL DEFAULT '', -- for people
    CHECK ((mode = 'debezium') = (slot <> ''))
);
INSERT INTO outbox_mode DEFAULT VALUES;

-- What the polling relay reads in mode debezium. The rows that wait to be confirmed may be
-- many, and all of them are in outbox_unpublished.
CREATE INDEX outbox_unpublished_rest ON outbox (shard, seq)
    WHERE published_at IS NULL AND (ce_specversion IS NULL OR publication > 1);

-- +goose Down
DROP INDEX outbox_unpublished_rest;
DROP TABLE outbox_mode;
DROP PUBLICATION eventshop_outbox;
