-- name: KeepSaga :exec
INSERT INTO sagas (order_id, version, status, placed_at, confirm_by, changed_at, attention_reason, attention_detail)
VALUES (@order_id, @version, @status, @placed_at, @confirm_by, @changed_at, @attention_reason, @attention_detail)
ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, status = excluded.status, changed_at = excluded.changed_at,
    attention_reason = excluded.attention_reason, attention_detail = excluded.attention_detail;

-- name: EndSaga :exec
DELETE FROM sagas WHERE order_id = @order_id;

-- name: ListSagas :many
-- Oldest first.
SELECT * FROM sagas
WHERE order_id > @after
  AND (sqlc.narg(placed_before)::timestamptz IS NULL OR placed_at < sqlc.narg(placed_before))
  AND (NOT @needs_attention::boolean OR attention_reason IS NOT NULL)
ORDER BY order_id LIMIT @most;
