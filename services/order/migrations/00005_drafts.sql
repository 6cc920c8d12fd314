-- +goose Up
-- Read model: one row per draft, maintained by the reader of all streams (app/read_drafts.go).
CREATE TABLE drafts (
    order_id     uuid        PRIMARY KEY,  -- UUIDv7: sorts by the time of its start
    version      bigint      NOT NULL,     -- of the order's stream
    customer_id  text        NOT NULL,
    items        int         NOT NULL,
    total_amount bigint      NOT NULL,     -- minor units
    currency     text        NOT NULL,
    started_at   timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL      -- of the draft's latest event
);
CREATE INDEX drafts_by_customer ON drafts (customer_id, order_id DESC);
CREATE INDEX drafts_by_change ON drafts (changed_at);

-- +goose Down
DROP TABLE drafts;
