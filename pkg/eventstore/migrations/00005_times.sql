-- +goose Up
-- For queries of the past: the earliest time of each hundred versions, of streams that have more than one
-- hundred. Most streams have fewer events and no entry here. The times of a stream need not follow its
-- versions, since a clock can be set back; so an index by time alone would not find the greatest version.
CREATE INDEX events_by_hundred ON events (stream_id, ((version - 1) / 100), recorded_at) WHERE version > 100;

-- +goose Down
DROP INDEX events_by_hundred;
