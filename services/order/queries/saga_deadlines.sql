-- name: AddDeadlines :exec
INSERT INTO saga_deadlines (order_id, due_at, traceparent, tracestate)
SELECT unnest(@order_ids::uuid[]), unnest(@due_at::timestamptz[]), unnest(@traceparents::text[]), unnest(@tracestates::text[]);

-- name: RemoveDeadlines :exec
DELETE FROM saga_deadlines WHERE order_id = ANY (@order_ids::uuid[]);

-- name: DueDeadlines :many
-- Without locks: each deadline passes in a transaction that locks its order first.
SELECT order_id, traceparent, tracestate FROM saga_deadlines WHERE due_at <= @now ORDER BY due_at LIMIT @most;

-- name: ClaimDeadlines :many
-- A missing row: another replica has it, or the order has moved on.
SELECT order_id FROM saga_deadlines
WHERE order_id = ANY (@order_ids::uuid[]) AND due_at <= @now FOR UPDATE SKIP LOCKED;
