-- name: Since :one
SELECT since FROM mailing;

-- name: OpenMails :exec
-- Creates missing rows, so that there are rows to lock: the two events of one order then wait for
-- each other instead of both finding nothing. Rows are created in the order in which they are locked.
INSERT INTO mails (order_id, state, correlation_id, created_at, updated_at)
SELECT n.order_id, '', n.correlation_id, @now, @now
FROM (SELECT unnest(@order_ids::text[]) AS order_id, unnest(@correlation_ids::text[]) AS correlation_id) n
ORDER BY n.order_id
ON CONFLICT (order_id) DO NOTHING;

-- name: LockMails :many
SELECT * FROM mails WHERE order_id = ANY(@order_ids::text[]) ORDER BY order_id FOR UPDATE;

-- name: GetMail :one
SELECT * FROM mails WHERE order_id = @order_id;

-- name: GetMails :many
SELECT * FROM mails WHERE order_id = ANY(@order_ids::text[]);

-- name: SaveMails :exec
-- Year 1 stands for NULL, which arrays of times cannot hold here.
UPDATE mails m SET
    state = n.state, style = n.style, customer_id = n.customer_id, recipient = n.recipient, subject = n.subject, body = n.body,
    next_attempt_at = nullif(n.next_attempt_at, '0001-01-01 00:00:00+00'), last_error = n.last_error, reason = n.reason,
    traceparent = n.traceparent, tracestate = n.tracestate,
    placed_at = nullif(n.placed_at, '0001-01-01 00:00:00+00'), ended_at = nullif(n.ended_at, '0001-01-01 00:00:00+00'),
    updated_at = n.updated_at
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@states::text[]) AS state, unnest(@styles::text[]) AS style,
    unnest(@customer_ids::text[]) AS customer_id, unnest(@recipients::text[]) AS recipient, unnest(@subjects::text[]) AS subject,
    unnest(@bodies::text[]) AS body, unnest(@next_attempts_at::timestamptz[]) AS next_attempt_at,
    unnest(@last_errors::text[]) AS last_error, unnest(@reasons::text[]) AS reason,
    unnest(@traceparents::text[]) AS traceparent, unnest(@tracestates::text[]) AS tracestate,
    unnest(@placed_at::timestamptz[]) AS placed_at, unnest(@ended_at::timestamptz[]) AS ended_at,
    unnest(@updated_at::timestamptz[]) AS updated_at
) n WHERE m.order_id = n.order_id;

-- name: ClaimMails :many
-- The claim is a lease, not a lock: the call to the mailbox is made outside a transaction. When the
-- process dies, the row is due again at the end of the lease. The attempt is counted here, because
-- the mailbox may receive the request from now on. An attempt that is later than the longest wait was
-- set by a clock that was ahead, and is due.
UPDATE mails SET attempts = attempts + 1, next_attempt_at = @lease_until
WHERE order_id IN (
    SELECT due.order_id FROM mails AS due
    WHERE due.next_attempt_at <= @now OR due.next_attempt_at > @beyond_every_wait::timestamptz
    ORDER BY due.next_attempt_at LIMIT @most FOR UPDATE SKIP LOCKED
)
RETURNING *;

-- name: CountMails :one
-- For the gauges.
SELECT (SELECT count(*) FROM mails WHERE next_attempt_at IS NOT NULL) AS to_send,
       (SELECT count(*) FROM mails WHERE state IN ('AWAITING_ORDER_PLACED', 'AWAITING_ORDER_CREATED')) AS awaiting;
