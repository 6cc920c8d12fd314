-- name: AddToTimeline :many
-- One row per fact. It returns the facts that are new: only they have an effect on the other tables. All
-- sets insert in the same order, so that two sets with the same facts cannot deadlock.
INSERT INTO timeline (order_id, event_id, topic, event_type, version, occurred_at, detail)
SELECT n.order_id, n.event_id, n.topic, n.event_type, n.version, n.occurred_at, n.detail
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@event_ids::uuid[]) AS event_id, unnest(@topics::text[]) AS topic,
    unnest(@event_types::text[]) AS event_type, unnest(@versions::bigint[]) AS version,
    unnest(@occurred_at::timestamptz[]) AS occurred_at, unnest(@details::text[]) AS detail
) n
ORDER BY n.order_id, n.event_id
ON CONFLICT (order_id, event_id) DO NOTHING
RETURNING order_id, event_id;

-- name: SaveOrders :exec
-- Adds what the new facts of each order amount to. A later version of the row stays: the versions decide,
-- not the order in which sets commit. The columns that OrderCreated sets are NULL until it has arrived, and
-- are set once. Rows are locked in order.
INSERT INTO orders AS o (order_id, status, status_version, customer_id, customer_name, customer_email, street, city,
    postal_code, country, currency, total_amount, saga_style, created_at, tracking_id, cancel_reason, needs_attention, attention_version, updated_at)
SELECT n.order_id, nullif(n.status, ''), n.status_version,
    CASE WHEN n.created THEN n.customer_id END, CASE WHEN n.created THEN n.customer_name END,
    CASE WHEN n.created THEN n.customer_email END, CASE WHEN n.created THEN n.street END,
    CASE WHEN n.created THEN n.city END, CASE WHEN n.created THEN n.postal_code END,
    CASE WHEN n.created THEN n.country END, CASE WHEN n.created THEN n.currency END,
    CASE WHEN n.created THEN n.total_amount END, CASE WHEN n.created THEN n.saga_style END, CASE WHEN n.created THEN n.created_at END,
    n.tracking_id, n.cancel_reason, n.needs_attention, n.attention_version, n.updated_at
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@statuses::text[]) AS status, unnest(@status_versions::bigint[]) AS status_version,
    unnest(@created::boolean[]) AS created, unnest(@customer_ids::text[]) AS customer_id, unnest(@customer_names::text[]) AS customer_name,
    unnest(@customer_emails::text[]) AS customer_email, unnest(@streets::text[]) AS street, unnest(@cities::text[]) AS city,
    unnest(@postal_codes::text[]) AS postal_code, unnest(@countries::text[]) AS country, unnest(@currencies::text[]) AS currency,
    unnest(@total_amounts::bigint[]) AS total_amount, unnest(@saga_styles::text[]) AS saga_style, unnest(@created_at::timestamptz[]) AS created_at,
    unnest(@tracking_ids::text[]) AS tracking_id, unnest(@cancel_reasons::text[]) AS cancel_reason,
    unnest(@needs_attention::boolean[]) AS needs_attention, unnest(@attention_versions::bigint[]) AS attention_version,
    unnest(@updated_at::timestamptz[]) AS updated_at
) n
ORDER BY n.order_id
ON CONFLICT (order_id) DO UPDATE SET
    status = CASE WHEN excluded.status_version > o.status_version THEN excluded.status ELSE o.status END,
    status_version = greatest(o.status_version, excluded.status_version),
    customer_id = CASE WHEN o.created_at IS NULL THEN excluded.customer_id ELSE o.customer_id END,
    customer_name = CASE WHEN o.created_at IS NULL THEN excluded.customer_name ELSE o.customer_name END,
    customer_email = CASE WHEN o.created_at IS NULL THEN excluded.customer_email ELSE o.customer_email END,
    street = CASE WHEN o.created_at IS NULL THEN excluded.street ELSE o.street END,
    city = CASE WHEN o.created_at IS NULL THEN excluded.city ELSE o.city END,
    postal_code = CASE WHEN o.created_at IS NULL THEN excluded.postal_code ELSE o.postal_code END,
    country = CASE WHEN o.created_at IS NULL THEN excluded.country ELSE o.country END,
    currency = CASE WHEN o.created_at IS NULL THEN excluded.currency ELSE o.currency END,
    total_amount = CASE WHEN o.created_at IS NULL THEN excluded.total_amount ELSE o.total_amount END,
    saga_style = CASE WHEN o.created_at IS NULL THEN excluded.saga_style ELSE o.saga_style END,
    created_at = coalesce(o.created_at, excluded.created_at),
    tracking_id = coalesce(nullif(excluded.tracking_id, ''), o.tracking_id),
    cancel_reason = coalesce(nullif(excluded.cancel_reason, ''), o.cancel_reason),
    needs_attention = CASE WHEN excluded.attention_version > o.attention_version THEN excluded.needs_attention ELSE o.needs_attention END,
    attention_version = greatest(o.attention_version, excluded.attention_version),
    updated_at = greatest(o.updated_at, excluded.updated_at);

-- name: AddItems :exec
-- The items of the OrderCreated that created the order: a second one adds none. The order's row is locked.
INSERT INTO order_items (order_id, line, sku, quantity, unit_price)
SELECT n.order_id, n.line, n.sku, n.quantity, n.unit_price
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@lines::int[]) AS line, unnest(@skus::text[]) AS sku,
    unnest(@quantities::bigint[]) AS quantity, unnest(@unit_prices::bigint[]) AS unit_price
) n
WHERE NOT EXISTS (SELECT FROM order_items i WHERE i.order_id = n.order_id);

-- name: AddRevenue :exec
-- Rows are locked in order, so that two sets with the same days cannot deadlock.
INSERT INTO revenue_days AS r (day, currency, captured, refunded, payments, refunds)
SELECT n.day, n.currency, sum(n.captured), sum(n.refunded), count(*) FILTER (WHERE n.payment), count(*) FILTER (WHERE NOT n.payment)
FROM (SELECT
    unnest(@days::date[]) AS day, unnest(@currencies::text[]) AS currency, unnest(@captured::bigint[]) AS captured,
    unnest(@refunded::bigint[]) AS refunded, unnest(@payment::boolean[]) AS payment
) n
GROUP BY n.day, n.currency ORDER BY n.day, n.currency
ON CONFLICT (day, currency) DO UPDATE SET
    captured = r.captured + excluded.captured, refunded = r.refunded + excluded.refunded,
    payments = r.payments + excluded.payments, refunds = r.refunds + excluded.refunds;
