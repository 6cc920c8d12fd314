-- name: KeepSagas :exec
INSERT INTO sagas (order_id, version, status, placed_at, confirm_by, changed_at, saga_style, attention_reason, attention_detail)
SELECT n.order_id, n.version, n.status, n.placed_at, n.confirm_by, n.changed_at, n.saga_style,
       CASE WHEN n.attention THEN n.attention_reason END, CASE WHEN n.attention THEN n.attention_detail END
FROM (SELECT unnest(@order_ids::uuid[]) AS order_id, unnest(@versions::bigint[]) AS version, unnest(@statuses::text[]) AS status,
             unnest(@placed_at::timestamptz[]) AS placed_at, unnest(@confirm_by::timestamptz[]) AS confirm_by,
             unnest(@changed_at::timestamptz[]) AS changed_at, unnest(@saga_styles::text[]) AS saga_style, unnest(@attention::boolean[]) AS attention,
             unnest(@attention_reasons::text[]) AS attention_reason, unnest(@attention_details::text[]) AS attention_detail) n
ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, status = excluded.status, changed_at = excluded.changed_at,
    attention_reason = excluded.attention_reason, attention_detail = excluded.attention_detail;

-- name: PendingOrders :many
-- Those of the given orders that are PENDING, and the oldest of all PENDING orders: of all times, and since an id.
SELECT order_id, false AS oldest FROM sagas WHERE order_id = ANY (@order_ids::uuid[]) AND status = 'PENDING'
UNION ALL
(SELECT order_id, true FROM saga_deadlines ORDER BY order_id LIMIT 1)
UNION ALL
(SELECT order_id, true FROM saga_deadlines WHERE order_id >= @since::uuid ORDER BY order_id LIMIT 1);

-- name: EndSagas :exec
DELETE FROM sagas WHERE order_id = ANY (@order_ids::uuid[]);

-- name: ListSagas :many
-- Oldest first.
SELECT * FROM sagas
WHERE order_id > @after
  AND (sqlc.narg(placed_before)::timestamptz IS NULL OR placed_at < sqlc.narg(placed_before))
  AND (NOT @needs_attention::boolean OR attention_reason IS NOT NULL)
ORDER BY order_id LIMIT @most;
