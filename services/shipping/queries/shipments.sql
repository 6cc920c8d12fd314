-- name: OpenShipments :exec
-- Creates missing rows, so that there are rows to lock: two first events of one order then wait for
-- each other instead of both finding nothing. Rows are created in the order in which they are locked.
INSERT INTO shipments (order_id, state, correlation_id, saga_style, created_at, updated_at)
SELECT n.order_id, '', n.correlation_id, n.saga_style, @now, @now
FROM (SELECT unnest(@order_ids::text[]) AS order_id, unnest(@correlation_ids::text[]) AS correlation_id,
    unnest(@saga_styles::text[]) AS saga_style) n
ORDER BY n.order_id
ON CONFLICT (order_id) DO NOTHING;

-- name: LockShipments :many
SELECT * FROM shipments WHERE order_id = ANY(@order_ids::text[]) ORDER BY order_id FOR UPDATE;

-- name: GetShipment :one
SELECT * FROM shipments WHERE order_id = @order_id;

-- name: GetShipments :many
SELECT * FROM shipments WHERE order_id = ANY(@order_ids::text[]);

-- name: SaveShipments :exec
-- Empty documents and year 1 stand for NULL, which arrays of these types cannot hold here.
UPDATE shipments s SET
    state = n.state, version = n.version, customer_id = n.customer_id,
    address = nullif(n.address, '')::jsonb, items = nullif(n.items, '')::jsonb,
    shipment_id = n.shipment_id, tracking_id = n.tracking_id, carrier = n.carrier, reason = n.reason, detail = n.detail,
    dispatched_at = nullif(n.dispatched_at, '0001-01-01 00:00:00+00'), delivered_at = nullif(n.delivered_at, '0001-01-01 00:00:00+00'),
    rejected_requests = ARRAY(SELECT jsonb_array_elements_text(nullif(n.rejected_requests, 'null')::jsonb)),
    traceparent = n.traceparent, tracestate = n.tracestate, attention = n.attention, updated_at = n.updated_at
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@states::text[]) AS state, unnest(@versions::bigint[]) AS version,
    unnest(@customer_ids::text[]) AS customer_id, unnest(@addresses::text[]) AS address, unnest(@items::text[]) AS items,
    unnest(@shipment_ids::text[]) AS shipment_id, unnest(@tracking_ids::text[]) AS tracking_id, unnest(@carriers::text[]) AS carrier,
    unnest(@reasons::text[]) AS reason, unnest(@details::text[]) AS detail,
    unnest(@dispatched_at::timestamptz[]) AS dispatched_at, unnest(@delivered_at::timestamptz[]) AS delivered_at,
    unnest(@rejected_requests::text[]) AS rejected_requests,
    unnest(@traceparents::text[]) AS traceparent, unnest(@tracestates::text[]) AS tracestate,
    unnest(@attentions::text[]) AS attention, unnest(@updated_at::timestamptz[]) AS updated_at
) n WHERE s.order_id = n.order_id;
