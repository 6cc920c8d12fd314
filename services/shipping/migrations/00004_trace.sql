-- +goose Up
-- The trace that updates of the carrier's feed go on with, since the feed has none: that of the
-- step that moved the shipment last. Empty for shipments of before; then an update starts a trace.
ALTER TABLE shipments
    ADD COLUMN traceparent text NOT NULL DEFAULT '',
    ADD COLUMN tracestate  text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE shipments DROP COLUMN traceparent, DROP COLUMN tracestate;
