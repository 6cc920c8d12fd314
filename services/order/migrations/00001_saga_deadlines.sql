-- The event store, outbox, inbox and idempotency keys bring their own migrations;
-- what only this service needs is here.

-- +goose Up
-- One row per order that is still PENDING: when it has to be confirmed. The row
-- goes in the transaction that takes the order out of PENDING, so the table holds
-- the sagas under way and nothing else.
CREATE TABLE saga_deadlines (
    order_id uuid        PRIMARY KEY,
    due_at   timestamptz NOT NULL
);
CREATE INDEX saga_deadlines_due_at ON saga_deadlines (due_at);

-- +goose Down
DROP TABLE saga_deadlines;
