-- name: LockOrders :exec
INSERT INTO activity_orders AS o (order_id, customer_id)
SELECT n.order_id, CASE WHEN n.created THEN n.customer_id END
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@created::boolean[]) AS created, unnest(@customer_ids::text[]) AS customer_id
) n
ORDER BY n.order_id
ON CONFLICT (order_id) DO UPDATE SET customer_id = coalesce(o.customer_id, excluded.customer_id);

-- name: AddActivity :exec
INSERT INTO customer_activity (event_id, order_id, customer_id, topic, event_type, detail, occurred_at)
SELECT n.event_id, n.order_id, o.customer_id, n.topic, n.event_type, n.detail, n.occurred_at
FROM (SELECT
    unnest(@event_ids::uuid[]) AS event_id, unnest(@order_ids::text[]) AS order_id, unnest(@topics::text[]) AS topic,
    unnest(@event_types::text[]) AS event_type, unnest(@details::text[]) AS detail, unnest(@occurred_at::timestamptz[]) AS occurred_at
) n JOIN activity_orders o ON o.order_id = n.order_id
ORDER BY n.event_id, n.order_id;

-- name: NameCustomers :exec
-- The events that came before the customer of their order was known.
UPDATE customer_activity a SET customer_id = o.customer_id
FROM activity_orders o
WHERE a.customer_id IS NULL AND a.order_id = ANY(@created::text[]) AND o.order_id = a.order_id;

-- name: ListActivity :many
SELECT event_id, order_id, topic, event_type, detail, occurred_at FROM customer_activity
WHERE customer_id = @customer_id::text AND event_id < @before ORDER BY event_id DESC LIMIT @max_rows;
