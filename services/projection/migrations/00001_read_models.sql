-- +goose Up
CREATE TABLE orders (
    order_id        text        PRIMARY KEY,
    -- NULL until an order event has come: another topic may be ahead of it.
    status          text,
    -- Version of the order event that set the status. A dead letter that is
    -- resubmitted comes late, and must not turn the status back.
    status_version  bigint      NOT NULL DEFAULT 0,
    -- What OrderCreated tells, NULL until it has come. created_at is the mark.
    customer_id     text,
    customer_name   text,
    customer_email  text,
    street          text,
    city            text,
    postal_code     text,
    country         text,
    currency        text,
    total_amount    bigint,
    created_at      timestamptz,
    tracking_id     text        NOT NULL DEFAULT '',
    cancel_reason   text        NOT NULL DEFAULT '',
    needs_attention boolean     NOT NULL DEFAULT false,
    -- Version of the payment event that set needs_attention, for the same reason.
    attention_version bigint    NOT NULL DEFAULT 0,
    updated_at      timestamptz NOT NULL
);
COMMENT ON TABLE orders IS 'Read model: one row an order. status comes from order.events alone, needs_attention from payment.events: the latest version wins.';
-- Order ids are UUIDv7 and sort by time, so one index serves filter and page.
CREATE INDEX orders_by_status ON orders (status, order_id DESC);
CREATE INDEX orders_by_customer ON orders (customer_id, order_id DESC);

CREATE TABLE order_items (
    order_id   text   NOT NULL,
    line       int    NOT NULL,
    sku        text   NOT NULL,
    quantity   bigint NOT NULL,
    unit_price bigint NOT NULL,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE timeline (
    order_id    text        NOT NULL,
    event_id    uuid        NOT NULL,
    topic       text        NOT NULL,
    event_type  text        NOT NULL,
    version     bigint      NOT NULL,
    occurred_at timestamptz NOT NULL,
    detail      text        NOT NULL DEFAULT '',
    PRIMARY KEY (order_id, event_id)
);
COMMENT ON TABLE timeline IS 'Read model: the saga of each order, every event of every service.';

CREATE TABLE revenue_days (
    day       date   NOT NULL,
    currency  text   NOT NULL,
    captured  bigint NOT NULL DEFAULT 0,
    refunded  bigint NOT NULL DEFAULT 0,
    payments  bigint NOT NULL DEFAULT 0,
    refunds   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (day, currency)
);
COMMENT ON TABLE revenue_days IS 'Read model: minor units by UTC day of the event. Sums, so each event must count once: the inbox sees to it.';

-- +goose Down
DROP TABLE revenue_days, timeline, order_items, orders;
