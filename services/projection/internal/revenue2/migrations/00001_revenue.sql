-- +goose Up
CREATE SCHEMA revenue_v2;
SET LOCAL search_path TO revenue_v2, public;

-- One row per order with money or items. region is NULL until OrderCreated has arrived. Every set locks
-- its rows first, in order, so that money and items of one order never miss each other.
CREATE TABLE revenue_orders (
    order_id text PRIMARY KEY,
    region   text
);

-- How the money of an order divides between its SKUs: line n has what lies between up_to of the line
-- before and its own, of the up_to of the last line.
CREATE TABLE revenue_shares (
    order_id text    NOT NULL,
    line     integer NOT NULL,
    sku      text    NOT NULL,
    up_to    numeric NOT NULL,
    PRIMARY KEY (order_id, line)
);

-- One row per capture or refund. shared is false until the order's items are known.
CREATE TABLE revenue_money (
    order_id text    NOT NULL,
    event_id uuid    NOT NULL,
    day      date    NOT NULL,
    currency text    NOT NULL,
    amount   bigint  NOT NULL,
    payment  boolean NOT NULL,
    shared   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (order_id, event_id)
);
CREATE INDEX revenue_money_by_day ON revenue_money (day, currency);

-- Sums in minor units by UTC day of the event. Money of an order whose items are not known yet counts
-- under an empty SKU and region, and moves when they are.
CREATE TABLE revenue_items (
    day      date           NOT NULL,
    currency text           NOT NULL,
    region   text           NOT NULL,
    sku      text           NOT NULL,
    captured numeric(38, 0) NOT NULL DEFAULT 0,
    refunded numeric(38, 0) NOT NULL DEFAULT 0,
    payments bigint         NOT NULL DEFAULT 0,
    refunds  bigint         NOT NULL DEFAULT 0,
    PRIMARY KEY (day, currency, region, sku)
);

-- The columns of version 1, so that its queries read version 2 as well. A payment counts once, in however
-- many rows of revenue_items it is.
CREATE VIEW revenue_days AS
SELECT s.day, s.currency, s.captured, s.refunded, m.payments, m.refunds
FROM (
    SELECT day, currency, sum(captured) AS captured, sum(refunded) AS refunded FROM revenue_items GROUP BY day, currency
) s JOIN (
    SELECT day, currency, count(*) FILTER (WHERE payment) AS payments, count(*) FILTER (WHERE NOT payment) AS refunds
    FROM revenue_money GROUP BY day, currency
) m ON m.day = s.day AND m.currency = s.currency;

-- +goose Down
DROP SCHEMA revenue_v2 CASCADE;
