-- +goose Up
CREATE TABLE stock (
    sku       text   PRIMARY KEY,
    initial   bigint NOT NULL DEFAULT 0 CHECK (initial >= 0),
    restocked bigint NOT NULL DEFAULT 0 CHECK (restocked >= 0),
    available bigint NOT NULL CHECK (available >= 0),
    reserved  bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    shipped   bigint NOT NULL DEFAULT 0 CHECK (shipped >= 0),
    -- Pieces are moved, never made: whatever a handler does wrong ends here.
    CONSTRAINT stock_conserved CHECK (available + reserved + shipped = initial + restocked)
);
COMMENT ON TABLE stock IS 'Pieces of each SKU by where they are. One row a SKU, locked in SKU order.';

CREATE TABLE receipts (
    id          uuid        PRIMARY KEY,
    sku         text        NOT NULL REFERENCES stock,
    quantity    bigint      NOT NULL CHECK (quantity > 0),
    received_at timestamptz NOT NULL
);
COMMENT ON TABLE receipts IS 'Goods received: the sum a SKU is its restocked column.';

CREATE TABLE reservations (
    order_id       text        PRIMARY KEY,
    state          text        NOT NULL,
    reservation_id uuid        NOT NULL,
    version        bigint      NOT NULL DEFAULT 0,
    shortages      jsonb,
    updated_at     timestamptz NOT NULL
);
COMMENT ON TABLE reservations IS 'One row an order, tombstones included. version counts the events emitted.';

CREATE TABLE reservation_items (
    order_id text   NOT NULL REFERENCES reservations,
    sku      text   NOT NULL,
    quantity bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, sku)
);

-- +goose Down
DROP TABLE reservation_items, reservations, receipts, stock;
