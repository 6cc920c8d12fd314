-- +goose Up
CREATE SCHEMA customer_activity_v1;
SET LOCAL search_path TO customer_activity_v1, public;

-- The customer of each order; NULL until OrderCreated has arrived. Every set locks its rows first, in
-- order, so that events and the customer of one order never miss each other.
CREATE TABLE activity_orders (
    order_id    text PRIMARY KEY,
    customer_id text
);

-- One row per event of an order. Ids of events are UUIDv7 and sort by time.
CREATE TABLE customer_activity (
    event_id    uuid        NOT NULL,
    order_id    text        NOT NULL,
    customer_id text,
    topic       text        NOT NULL,
    event_type  text        NOT NULL,
    detail      text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (event_id, order_id)
);
CREATE INDEX customer_activity_of ON customer_activity (customer_id, event_id DESC);
CREATE INDEX customer_activity_waiting ON customer_activity (order_id) WHERE customer_id IS NULL;

-- +goose Down
DROP SCHEMA customer_activity_v1 CASCADE;
