-- name: OpenSagas :exec
-- Creates missing rows, so that there are rows to lock: two copies of one OrderCreated then wait for
-- each other instead of both finding nothing. Rows are created in the order in which they are locked.
INSERT INTO sagas (order_id, definition, state, correlation_id, started_at, changed_at)
SELECT n.order_id, @definition, '', n.correlation_id, @now, @now
FROM (SELECT unnest(@order_ids::text[]) AS order_id, unnest(@correlation_ids::text[]) AS correlation_id) n
ORDER BY n.order_id
ON CONFLICT (order_id) DO NOTHING;

-- name: LockSagas :many
SELECT * FROM sagas WHERE order_id = ANY(@order_ids::text[]) ORDER BY order_id FOR UPDATE;

-- name: SaveSagas :exec
-- Year 1 stands for NULL, which arrays of times cannot hold here. Lists are JSON, because an array of
-- arrays has rows of one length.
UPDATE sagas s SET
    definition = n.definition, state = n.state, step = n.step, attempt = n.attempt,
    compensations_due = ARRAY(SELECT jsonb_array_elements_text(n.compensations_due::jsonb)),
    due_at = nullif(n.due_at, '0001-01-01 00:00:00+00'), attention = n.attention,
    unexplained = n.unexplained, reason = n.reason, detail = n.detail,
    customer_id = n.customer_id, address = nullif(n.address, '')::jsonb, items = nullif(n.items, '')::jsonb,
    total_amount = n.total_amount, currency = n.currency, tracking_id = n.tracking_id, version = n.version,
    log_lines = n.log_lines, correlation_id = n.correlation_id, causation_id = n.causation_id,
    traceparent = n.traceparent, tracestate = n.tracestate, started_at = n.started_at, changed_at = n.changed_at
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@definitions::integer[]) AS definition, unnest(@states::text[]) AS state,
    unnest(@steps::text[]) AS step, unnest(@attempts::integer[]) AS attempt,
    unnest(@compensations_due::text[]) AS compensations_due, unnest(@due_at::timestamptz[]) AS due_at,
    unnest(@attentions::text[]) AS attention,
    unnest(@unexplained::boolean[]) AS unexplained, unnest(@reasons::text[]) AS reason, unnest(@details::text[]) AS detail,
    unnest(@customer_ids::text[]) AS customer_id, unnest(@addresses::text[]) AS address, unnest(@items::text[]) AS items,
    unnest(@total_amounts::bigint[]) AS total_amount, unnest(@currencies::text[]) AS currency,
    unnest(@tracking_ids::text[]) AS tracking_id, unnest(@versions::bigint[]) AS version,
    unnest(@log_lines::integer[]) AS log_lines, unnest(@correlation_ids::text[]) AS correlation_id,
    unnest(@causation_ids::text[]) AS causation_id, unnest(@traceparents::text[]) AS traceparent,
    unnest(@tracestates::text[]) AS tracestate, unnest(@started_at::timestamptz[]) AS started_at,
    unnest(@changed_at::timestamptz[]) AS changed_at
) n WHERE s.order_id = n.order_id;

-- name: DueSagas :many
-- Without locks: each time limit passes in a transaction that locks its saga first.
SELECT order_id, traceparent, tracestate FROM sagas
WHERE due_at <= @now AND definition = ANY(@definitions::integer[])
ORDER BY due_at LIMIT @most;

-- name: GetSaga :one
SELECT * FROM sagas WHERE order_id = @order_id AND log_lines > 0;

-- name: ListSagas :many
-- In the order of order ids, which is that of the orders' acceptance.
SELECT * FROM sagas
WHERE order_id > @after AND log_lines > 0
  AND (sqlc.narg(state)::text IS NULL OR state = sqlc.narg(state))
ORDER BY order_id LIMIT @most;

-- name: ListSagasNeedingAttention :many
-- As ListSagas. A query of its own, so that the index of these few rows serves it.
SELECT * FROM sagas
WHERE order_id > @after AND log_lines > 0 AND attention <> ''
  AND (sqlc.narg(state)::text IS NULL OR state = sqlc.narg(state))
ORDER BY order_id LIMIT @most;

-- name: CountAttention :one
SELECT count(*) FROM sagas WHERE attention <> '';

-- name: CountByDefinition :many
-- A saga without a state contradicted itself at its beginning, and goes nowhere.
SELECT definition, count(*) FILTER (WHERE state NOT IN ('', 'DELIVERED', 'CANCELLED')) AS running,
    count(*) FILTER (WHERE state IN ('', 'DELIVERED', 'CANCELLED')) AS ended
FROM sagas WHERE log_lines > 0 GROUP BY definition ORDER BY definition;
