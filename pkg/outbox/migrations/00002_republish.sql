-- +goose Up

-- Counts how often the row was asked to be published: a mark is for the publication that
-- the relay read, so that one which comes late (from a relay that was frozen) does not
-- count for a later publication. A constant default rewrites nothing.
ALTER TABLE outbox ADD COLUMN publication integer NOT NULL DEFAULT 1;

-- While there is a row that has not expired, no relay publishes.
CREATE TABLE outbox_hold (
    name       text        PRIMARY KEY,
    owner      uuid        NOT NULL,
    reason     text        NOT NULL, -- for people
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE outbox_hold;
ALTER TABLE outbox DROP COLUMN publication;
