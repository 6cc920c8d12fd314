-- name: LockStock :many
-- Rows are locked in SKU order, so two orders on the same SKUs never deadlock.
SELECT sku, available FROM stock WHERE sku = ANY(@skus::text[]) ORDER BY sku FOR UPDATE;

-- name: ReserveStock :execrows
UPDATE stock s SET available = s.available - i.quantity, reserved = s.reserved + i.quantity
FROM (SELECT unnest(@skus::text[]) AS sku, unnest(@quantities::bigint[]) AS quantity) i WHERE s.sku = i.sku;

-- name: ReleaseStock :execrows
UPDATE stock s SET available = s.available + i.quantity, reserved = s.reserved - i.quantity
FROM (SELECT unnest(@skus::text[]) AS sku, unnest(@quantities::bigint[]) AS quantity) i WHERE s.sku = i.sku;

-- name: ShipStock :execrows
UPDATE stock s SET reserved = s.reserved - i.quantity, shipped = s.shipped + i.quantity
FROM (SELECT unnest(@skus::text[]) AS sku, unnest(@quantities::bigint[]) AS quantity) i WHERE s.sku = i.sku;

-- name: SeedStock :exec
INSERT INTO stock (sku, initial, available) VALUES (@sku, @quantity, @quantity) ON CONFLICT (sku) DO NOTHING;

-- name: Restock :one
-- No row: with this the SKU would have received more than most, all told.
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
