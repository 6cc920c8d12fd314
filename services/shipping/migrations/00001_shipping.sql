-- +goose Up
CREATE TABLE shipments (
    order_id       text        PRIMARY KEY,
    state          text        NOT NULL,
    version        bigint      NOT NULL DEFAULT 0,
    correlation_id text        NOT NULL,
    customer_id    text        NOT NULL DEFAULT '',
    -- Both null until OrderCreated has come.
    address        jsonb,
    items          jsonb,
    shipment_id    text        NOT NULL DEFAULT '',
    tracking_id    text        NOT NULL DEFAULT '',
    carrier        text        NOT NULL DEFAULT '',
    reason         text        NOT NULL DEFAULT '',
    detail         text        NOT NULL DEFAULT '',
    dispatched_at  timestamptz,
    delivered_at   timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT shipments_dispatched CHECK ((state IN ('DISPATCHED', 'DELIVERED')) = (dispatched_at IS NOT NULL)),
    CONSTRAINT shipments_delivered CHECK ((state = 'DELIVERED') = (delivered_at IS NOT NULL))
);
COMMENT ON TABLE shipments IS 'One row an order, tombstones included. version counts the events emitted.';

CREATE TABLE carrier_feed (
    carrier    text        PRIMARY KEY,
    cursor     bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE carrier_feed IS 'How far the tracking feed has been applied: the sequence number of the last update.';

-- +goose Down
DROP TABLE carrier_feed, shipments;
