-- name: SaveOrders :exec
-- Rows are locked in order. A status of a later version stays.
INSERT INTO customer_orders AS o (order_id, customer_id, currency, total_amount, pieces, placed_at, status, status_version, status_at)
SELECT n.order_id, CASE WHEN n.created THEN n.customer_id END, n.currency, n.total_amount, n.pieces,
    CASE WHEN n.created THEN n.placed_at END, n.status, n.status_version, n.status_at
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@created::boolean[]) AS created, unnest(@customer_ids::text[]) AS customer_id,
    unnest(@currencies::text[]) AS currency, unnest(@total_amounts::bigint[]) AS total_amount, unnest(@pieces::bigint[]) AS pieces,
    unnest(@placed_at::timestamptz[]) AS placed_at, unnest(@statuses::text[]) AS status,
    unnest(@status_versions::bigint[]) AS status_version, unnest(@status_at::timestamptz[]) AS status_at
) n
ORDER BY n.order_id
ON CONFLICT (order_id) DO UPDATE SET
    customer_id = coalesce(o.customer_id, excluded.customer_id),
    currency = CASE WHEN o.placed_at IS NULL THEN excluded.currency ELSE o.currency END,
    total_amount = CASE WHEN o.placed_at IS NULL THEN excluded.total_amount ELSE o.total_amount END,
    pieces = CASE WHEN o.placed_at IS NULL THEN excluded.pieces ELSE o.pieces END,
    placed_at = coalesce(o.placed_at, excluded.placed_at),
    status = CASE WHEN excluded.status_version > o.status_version THEN excluded.status ELSE o.status END,
    status_at = CASE WHEN excluded.status_version > o.status_version THEN excluded.status_at ELSE o.status_at END,
    status_version = greatest(o.status_version, excluded.status_version);

-- name: ListOrders :many
SELECT order_id, currency, total_amount, pieces, placed_at, status, status_at FROM customer_orders
WHERE customer_id = @customer_id::text AND order_id < @before ORDER BY order_id DESC LIMIT @max_rows;
