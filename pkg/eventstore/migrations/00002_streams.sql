-- +goose Up
-- The row that writers lock before they decide about a stream. Eventstore.Lock creates the row of a
-- stream that has none yet, so streams of before need no rows here. The primary key of events still
-- serialises writers that do not lock.
CREATE TABLE streams (
    stream_id text PRIMARY KEY
);
COMMENT ON TABLE streams IS 'One row per stream that was locked: writers lock it before they decide.';

-- +goose Down
DROP TABLE streams;
