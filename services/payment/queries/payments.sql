-- name: OpenPayments :exec
-- Creates missing rows, so that there are rows to lock: two first events of one order then wait for
-- each other instead of both finding nothing. Rows are created in the order in which they are locked.
INSERT INTO payments (order_id, state, correlation_id, saga_style, created_at, updated_at)
SELECT n.order_id, 'NONE', n.correlation_id, n.saga_style, @now, @now
FROM (SELECT unnest(@order_ids::text[]) AS order_id, unnest(@correlation_ids::text[]) AS correlation_id,
    unnest(@saga_styles::text[]) AS saga_style) n
ORDER BY n.order_id
ON CONFLICT (order_id) DO NOTHING;

-- name: LockPayments :many
SELECT * FROM payments WHERE order_id = ANY(@order_ids::text[]) ORDER BY order_id FOR UPDATE;

-- name: GetPayment :one
SELECT * FROM payments WHERE order_id = @order_id;

-- name: GetPayments :many
SELECT * FROM payments WHERE order_id = ANY(@order_ids::text[]);

-- name: SavePayments :exec
-- Year 1 stands for NULL, which arrays of times cannot hold here.
UPDATE payments p SET
    state = n.state, version = n.version, customer_id = n.customer_id, amount = n.amount, currency = n.currency,
    charge_id = n.charge_id, refund_id = n.refund_id, decline_code = n.decline_code, decline_detail = n.decline_detail,
    reason = n.reason, attempts = n.attempts,
    next_attempt_at = nullif(n.next_attempt_at, '0001-01-01 00:00:00+00'),
    returning_since = nullif(n.returning_since, '0001-01-01 00:00:00+00'), last_error = n.last_error,
    attention = n.attention, causation_id = n.causation_id, traceparent = n.traceparent, tracestate = n.tracestate,
    updated_at = n.updated_at
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@states::text[]) AS state, unnest(@versions::bigint[]) AS version,
    unnest(@customer_ids::text[]) AS customer_id, unnest(@amounts::bigint[]) AS amount, unnest(@currencies::text[]) AS currency,
    unnest(@charge_ids::text[]) AS charge_id, unnest(@refund_ids::text[]) AS refund_id,
    unnest(@decline_codes::text[]) AS decline_code, unnest(@decline_details::text[]) AS decline_detail,
    unnest(@reasons::text[]) AS reason, unnest(@attempts::integer[]) AS attempts,
    unnest(@next_attempts_at::timestamptz[]) AS next_attempt_at, unnest(@returning_since::timestamptz[]) AS returning_since,
    unnest(@last_errors::text[]) AS last_error, unnest(@attentions::text[]) AS attention,
    unnest(@causation_ids::text[]) AS causation_id, unnest(@traceparents::text[]) AS traceparent,
    unnest(@tracestates::text[]) AS tracestate, unnest(@updated_at::timestamptz[]) AS updated_at
) n WHERE p.order_id = n.order_id;

-- name: ClaimReturns :many
-- The claim is a lease, not a lock: the call to the gateway is made outside a transaction. When the
-- process dies, the row is due again at the end of the lease. The attempt is counted here, because
-- the gateway may receive the request from now on. While the breaker refuses calls, only rounds that
-- are overdue are claimed. A time too far in the future was set by a clock that was ahead: an attempt
-- later than the longest wait is due, and a round that begins later than now has begun.
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
-- The payments' rows are locked, so two lines of a payment cannot have the same n. The ordinal counts
-- the new lines of a payment from 1.
INSERT INTO payment_history (order_id, n, at, input, action, state, detail)
SELECT n.order_id, coalesce((SELECT max(h.n) FROM payment_history h WHERE h.order_id = n.order_id), 0) + n.ordinal,
    n.at, n.input, n.action, n.state, n.detail
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@ordinals::integer[]) AS ordinal, unnest(@at::timestamptz[]) AS at,
    unnest(@inputs::text[]) AS input, unnest(@actions::text[]) AS action, unnest(@states::text[]) AS state,
    unnest(@details::text[]) AS detail
) n;

-- name: GetHistory :many
SELECT * FROM payment_history WHERE order_id = @order_id ORDER BY n;

-- name: CountOpen :one
-- For the gauges: payments whose money the worker returns, and payments that need a person.
SELECT count(*) FILTER (WHERE next_attempt_at IS NOT NULL) AS due_back,
       count(*) FILTER (WHERE attention <> '') AS attention
FROM payments WHERE next_attempt_at IS NOT NULL OR attention <> '';
