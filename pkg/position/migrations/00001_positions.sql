-- +goose Up
-- One row per partition, updated by every batch. No index has a column that changes, and half of
-- each page is free, so that an update stays on its page.
CREATE TABLE consumer_positions (
    consumer_group  text        NOT NULL,
    topic_id        uuid        NOT NULL,
    topic_partition integer     NOT NULL,
    topic           text        NOT NULL,
    next_offset     bigint      NOT NULL CHECK (next_offset >= 0),
    previous_offset bigint,
    moved_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic_id, topic_partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE consumer_positions IS 'How far a consumer group has handled each partition: every record below next_offset had its effect, or is a failed record in the tables of package retry. A topic that was created again has another id.';
COMMENT ON COLUMN consumer_positions.previous_offset IS 'next_offset before the latest batch. The statement that moves a position returns it.';

-- +goose Down
DROP TABLE consumer_positions;
