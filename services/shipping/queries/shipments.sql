-- name: OpenShipment :exec
-- Makes sure there is a row to lock, so that two first events of one order wait
-- for each other instead of both finding nothing.
INSERT INTO shipments (order_id, state, correlation_id, created_at, updated_at)
VALUES (@order_id, '', @correlation_id, @now, @now) ON CONFLICT (order_id) DO NOTHING;

-- name: LockShipment :one
SELECT * FROM shipments WHERE order_id = @order_id FOR UPDATE;

-- name: GetShipment :one
SELECT * FROM shipments WHERE order_id = @order_id;

-- name: UpdateShipment :exec
UPDATE shipments SET
    state = @state, version = @version, customer_id = @customer_id, address = @address, items = @items,
    shipment_id = @shipment_id, tracking_id = @tracking_id, carrier = @carrier, reason = @reason,
    detail = @detail, dispatched_at = @dispatched_at, delivered_at = @delivered_at,
    rejected_requests = @rejected_requests, updated_at = @updated_at
WHERE order_id = @order_id;
