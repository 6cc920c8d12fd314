-- +goose Up
CREATE TABLE inbox (
    consumer_group text        NOT NULL,
    message_id     uuid        NOT NULL,
    event_type     text        NOT NULL,
    received_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, message_id)
) PARTITION BY RANGE (message_id);
COMMENT ON TABLE inbox IS 'Messages that had their effect, per consumer group. A UUIDv7 begins with its time, so a day of messages is a range of ids and one partition.';

-- For ids whose day has no partition: older than the table, or no UUIDv7.
CREATE TABLE inbox_default PARTITION OF inbox DEFAULT;

-- +goose Down
DROP TABLE inbox;
