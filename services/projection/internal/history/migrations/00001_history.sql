-- +goose Up
CREATE SCHEMA customer_orders_v1;
SET LOCAL search_path TO customer_orders_v1, public;

-- One row per order. customer_id is NULL until OrderCreated has arrived. The status is that of the order
-- event with the highest version.
CREATE TABLE customer_orders (
    order_id       text        PRIMARY KEY,
    customer_id    text,
    currency       text        NOT NULL DEFAULT '',
    total_amount   bigint      NOT NULL DEFAULT 0,
    pieces         bigint      NOT NULL DEFAULT 0,
    placed_at      timestamptz,
    status         text        NOT NULL DEFAULT '',
    status_version bigint      NOT NULL DEFAULT 0,
    status_at      timestamptz
);
CREATE INDEX customer_orders_of ON customer_orders (customer_id, order_id DESC);

-- +goose Down
DROP SCHEMA customer_orders_v1 CASCADE;
