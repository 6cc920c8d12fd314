-- name: OpenPayment :exec
-- Makes sure there is a row to lock, so that two first events of one order wait
-- for each other instead of both finding nothing.
INSERT INTO payments (order_id, state, correlation_id, created_at, updated_at)
VALUES (@order_id, 'NONE', @correlation_id, @now, @now) ON CONFLICT (order_id) DO NOTHING;

-- name: LockPayment :one
SELECT * FROM payments WHERE order_id = @order_id FOR UPDATE;

-- name: GetPayment :one
SELECT * FROM payments WHERE order_id = @order_id;

-- name: UpdatePayment :exec
UPDATE payments SET
    state = @state, version = @version, customer_id = @customer_id, amount = @amount, currency = @currency,
    charge_id = @charge_id, refund_id = @refund_id, decline_code = @decline_code, decline_detail = @decline_detail,
    reason = @reason, attempts = @attempts, next_attempt_at = @next_attempt_at,
    returning_since = @returning_since, last_error = @last_error,
    attention = @attention, causation_id = @causation_id, traceparent = @traceparent, tracestate = @tracestate,
    updated_at = @updated_at
WHERE order_id = @order_id;

-- name: ClaimReturns :many
-- The claim is a lease, not a lock: the call to the gateway is made without a
-- transaction, and when its process dies the row is due again at the lease's end.
-- The attempt counts from here, because from here on the gateway may hear of it. Only
-- rounds that began by then: while the breaker refuses, all but the overdue ones rest.
-- Times that no clock can have set that is right are a clock's that was ahead: an attempt
-- put off beyond every wait is due, and a round that begins later than now has begun.
UPDATE payments SET attempts = attempts + 1, next_attempt_at = @lease_until
WHERE order_id IN (
    SELECT due.order_id FROM payments AS due
    WHERE (due.next_attempt_at <= @now OR due.next_attempt_at > @beyond_every_wait::timestamptz)
      AND (coalesce(due.returning_since, due.created_at) <= @began_by::timestamptz
        OR coalesce(due.returning_since, due.created_at) > @now)
    ORDER BY due.next_attempt_at LIMIT @most FOR UPDATE SKIP LOCKED
)
RETURNING *;

-- name: AddHistory :exec
-- The payment's row is locked, so no two take the same n.
INSERT INTO payment_history (order_id, n, at, input, action, state, detail)
SELECT @order_id, coalesce(max(n), 0) + 1, @at, @input, @action, @state, @detail
FROM payment_history WHERE order_id = @order_id;

-- name: GetHistory :many
SELECT * FROM payment_history WHERE order_id = @order_id ORDER BY n;

-- name: CountOpen :one
-- For the gauges: payments the worker is at, and payments a person has to look at.
SELECT count(*) FILTER (WHERE next_attempt_at IS NOT NULL) AS due_back,
       count(*) FILTER (WHERE attention <> '') AS attention
FROM payments WHERE next_attempt_at IS NOT NULL OR attention <> '';
