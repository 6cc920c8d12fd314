-- name: OpenReservations :exec
-- Creates missing rows, so that there are rows to lock: two first events of one order then wait for
-- each other instead of both finding nothing. Rows are created in the order in which they are locked.
INSERT INTO reservations (order_id, state, reservation_id, saga_style, updated_at)
SELECT n.order_id, '', n.reservation_id, n.saga_style, @updated_at
FROM (SELECT unnest(@order_ids::text[]) AS order_id, unnest(@reservation_ids::uuid[]) AS reservation_id,
    unnest(@saga_styles::text[]) AS saga_style) n
ORDER BY n.order_id
ON CONFLICT (order_id) DO NOTHING;

-- name: LockReservations :many
SELECT * FROM reservations WHERE order_id = ANY(@order_ids::text[]) ORDER BY order_id FOR UPDATE;

-- name: SaveReservations :exec
UPDATE reservations r SET state = n.state, version = n.version, shortages = nullif(n.shortages, '')::jsonb,
    attention = n.attention, updated_at = n.updated_at
FROM (SELECT unnest(@order_ids::text[]) AS order_id, unnest(@states::text[]) AS state, unnest(@versions::bigint[]) AS version,
    unnest(@shortages::text[]) AS shortages, unnest(@attentions::text[]) AS attention, unnest(@updated_at::timestamptz[]) AS updated_at) n
WHERE r.order_id = n.order_id;

-- name: AddItems :exec
INSERT INTO reservation_items (order_id, sku, quantity)
SELECT unnest(@order_ids::text[]), unnest(@skus::text[]), unnest(@quantities::bigint[]);

-- name: ListItemsOf :many
SELECT * FROM reservation_items WHERE order_id = ANY(@order_ids::text[]) ORDER BY order_id, sku;

-- name: GetReservation :one
SELECT * FROM reservations WHERE order_id = @order_id;

-- name: ListItems :many
SELECT sku, quantity FROM reservation_items WHERE order_id = @order_id ORDER BY sku;
