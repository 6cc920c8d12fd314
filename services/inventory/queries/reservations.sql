-- name: OpenReservation :exec
-- Makes sure there is a row to lock, so that two first events of one order wait
-- for each other instead of both finding nothing.
INSERT INTO reservations (order_id, state, reservation_id, updated_at)
VALUES (@order_id, '', @reservation_id, @updated_at) ON CONFLICT (order_id) DO NOTHING;

-- name: LockReservation :one
SELECT * FROM reservations WHERE order_id = @order_id FOR UPDATE;

-- name: UpdateReservation :exec
UPDATE reservations SET state = @state, version = @version, shortages = @shortages, updated_at = @updated_at
WHERE order_id = @order_id;

-- name: AddItems :exec
INSERT INTO reservation_items (order_id, sku, quantity)
SELECT @order_id, unnest(@skus::text[]), unnest(@quantities::bigint[]);

-- name: GetReservation :one
SELECT * FROM reservations WHERE order_id = @order_id;

-- name: ListItems :many
SELECT sku, quantity FROM reservation_items WHERE order_id = @order_id ORDER BY sku;
