-- name: KeepDrafts :exec
INSERT INTO drafts (order_id, version, customer_id, items, total_amount, currency, started_at, changed_at)
SELECT n.order_id, n.version, n.customer_id, n.items, n.total_amount, n.currency, n.started_at, n.changed_at
FROM (SELECT unnest(@order_ids::uuid[]) AS order_id, unnest(@versions::bigint[]) AS version, unnest(@customer_ids::text[]) AS customer_id,
             unnest(@items::int[]) AS items, unnest(@total_amounts::bigint[]) AS total_amount, unnest(@currencies::text[]) AS currency,
             unnest(@started_at::timestamptz[]) AS started_at, unnest(@changed_at::timestamptz[]) AS changed_at) n
ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, items = excluded.items, total_amount = excluded.total_amount,
    changed_at = excluded.changed_at;

-- name: RemoveDrafts :exec
DELETE FROM drafts WHERE order_id = ANY (@order_ids::uuid[]);

-- name: ListDrafts :many
-- Newest first.
SELECT * FROM drafts
WHERE (sqlc.narg(customer_id)::text IS NULL OR customer_id = sqlc.narg(customer_id))
  AND order_id < @before
ORDER BY order_id DESC LIMIT @most;

-- name: AbandonedDrafts :many
SELECT order_id, version FROM drafts WHERE changed_at < @changed_before ORDER BY changed_at LIMIT @most;
