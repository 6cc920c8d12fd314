-- name: LockStock :many
-- Rows are locked in SKU order, so that two orders of the same SKUs cannot deadlock.
SELECT sku, available, reserved, shipped FROM stock WHERE sku = ANY(@skus::text[]) ORDER BY sku FOR UPDATE;

-- name: MoveStock :exec
UPDATE stock s SET available = s.available + n.available, reserved = s.reserved + n.reserved, shipped = s.shipped + n.shipped
FROM (SELECT unnest(@skus::text[]) AS sku, unnest(@available::bigint[]) AS available,
    unnest(@reserved::bigint[]) AS reserved, unnest(@shipped::bigint[]) AS shipped) n
WHERE s.sku = n.sku;

-- name: SeedStock :exec
INSERT INTO stock (sku, initial, available) VALUES (@sku, @quantity, @quantity) ON CONFLICT (sku) DO NOTHING;

-- name: Restock :one
-- Returns no row when the SKU would have received more than @most pieces in total.
INSERT INTO stock AS s (sku, restocked, available) VALUES (@sku, @quantity, @quantity)
ON CONFLICT (sku) DO UPDATE SET restocked = s.restocked + @quantity, available = s.available + @quantity
WHERE s.initial::numeric + s.restocked + @quantity <= @most::bigint
RETURNING *;

-- name: AddReceipt :exec
INSERT INTO receipts (id, sku, quantity, received_at) VALUES (@id, @sku, @quantity, @received_at);

-- name: ListStock :many
SELECT * FROM stock WHERE sku > @after ORDER BY sku LIMIT @max_rows;

-- name: GetStock :one
SELECT * FROM stock WHERE sku = @sku;
