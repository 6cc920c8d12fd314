-- +goose Up
-- One row per order that has not ended, or that a person has to look at. It is
-- written in the transaction that appends the order's events and goes when the order
-- has ended and nothing is left to look at, so that asking for what is under way costs
-- as much as there is under way, however many orders there have been.
CREATE TABLE sagas (
    order_id         uuid        PRIMARY KEY,  -- UUIDv7: sorts by the time of placing
    version          bigint      NOT NULL,     -- of the order's stream
    status           text        NOT NULL,
    placed_at        timestamptz NOT NULL,
    confirm_by       timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,     -- of the order's latest event
    attention_reason text,                     -- NULL: nobody has to look
    attention_detail text
);

-- Orders of before this table, from their streams. The same rule as in app.keepSaga:
-- an order that is cancelled needs no attention but for what came after that.
INSERT INTO sagas (order_id, version, status, placed_at, confirm_by, changed_at, attention_reason, attention_detail)
SELECT c.stream_id::uuid, latest.version, moved.status,
       (c.data ->> 'placedAt')::timestamptz, (c.data ->> 'confirmBy')::timestamptz, latest.recorded_at,
       attention.reason, attention.detail
FROM events c
CROSS JOIN LATERAL (
    SELECT version, recorded_at FROM events e WHERE e.stream_id = c.stream_id ORDER BY version DESC LIMIT 1
) latest
CROSS JOIN LATERAL (
    SELECT version, CASE event_type
               WHEN 'OrderCreated' THEN 'PENDING'
               WHEN 'OrderConfirmed' THEN 'CONFIRMED'
               WHEN 'OrderCancellationRequested' THEN 'CANCELLING'
               WHEN 'OrderCancelled' THEN 'CANCELLED'
               WHEN 'OrderShipped' THEN 'SHIPPED'
               WHEN 'OrderDelivered' THEN 'DELIVERED'
           END AS status
    FROM events e
    WHERE e.stream_id = c.stream_id AND event_type IN (
        'OrderCreated', 'OrderConfirmed', 'OrderCancellationRequested', 'OrderCancelled', 'OrderShipped', 'OrderDelivered')
    ORDER BY version DESC LIMIT 1
) moved
LEFT JOIN LATERAL (
    SELECT data ->> 'reason' AS reason, coalesce(data ->> 'detail', '') AS detail FROM events e
    WHERE e.stream_id = c.stream_id AND event_type = 'OrderNeedsAttention'
      AND (moved.status <> 'CANCELLED' OR e.version > moved.version)
    ORDER BY version DESC LIMIT 1
) attention ON true
WHERE c.version = 1 AND (moved.status NOT IN ('DELIVERED', 'CANCELLED') OR attention.reason IS NOT NULL);

-- +goose Down
DROP TABLE sagas;
