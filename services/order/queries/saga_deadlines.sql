-- name: AddDeadline :exec
INSERT INTO saga_deadlines (order_id, due_at) VALUES (@order_id, @due_at);

-- name: LockDeadline :exec
-- Taken before the order's events are appended; see app.change for the lock order.
SELECT 1 FROM saga_deadlines WHERE order_id = @order_id FOR UPDATE;

-- name: RemoveDeadline :exec
DELETE FROM saga_deadlines WHERE order_id = @order_id;

-- name: DueDeadlines :many
-- Without locks: each row is claimed in the transaction that handles it.
SELECT order_id FROM saga_deadlines WHERE due_at <= @now ORDER BY due_at LIMIT @most;

-- name: ClaimDeadline :one
-- No row: another replica has it, or the order has moved on.
SELECT order_id FROM saga_deadlines WHERE order_id = @order_id AND due_at <= @now FOR UPDATE SKIP LOCKED;
