-- name: LockOrders :exec
-- The first OrderCreated sets the region.
INSERT INTO revenue_orders AS o (order_id, region)
SELECT n.order_id, CASE WHEN n.created THEN n.region END
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@created::boolean[]) AS created, unnest(@regions::text[]) AS region
) n
ORDER BY n.order_id
ON CONFLICT (order_id) DO UPDATE SET region = coalesce(o.region, excluded.region);

-- name: AddShares :exec
-- The items of the OrderCreated that came first. The order's row is locked.
INSERT INTO revenue_shares (order_id, line, sku, up_to)
SELECT n.order_id, n.line, n.sku, n.up_to
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@lines::int[]) AS line, unnest(@skus::text[]) AS sku, unnest(@up_to::numeric[]) AS up_to
) n
WHERE NOT EXISTS (SELECT FROM revenue_shares s WHERE s.order_id = n.order_id);

-- name: AddMoney :exec
-- Money whose order is known is shared between its SKUs at once, by AddRevenue.
INSERT INTO revenue_money (order_id, event_id, day, currency, amount, payment, shared)
SELECT n.order_id, n.event_id, n.day, n.currency, n.amount, n.payment,
    EXISTS (SELECT FROM revenue_orders o WHERE o.order_id = n.order_id AND o.region IS NOT NULL)
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@event_ids::uuid[]) AS event_id, unnest(@days::date[]) AS day,
    unnest(@currencies::text[]) AS currency, unnest(@amounts::bigint[]) AS amount, unnest(@payment::boolean[]) AS payment
) n
ORDER BY n.order_id, n.event_id;

-- name: AddRevenue :exec
-- Adds the new money to the SKUs of its order, in parts that add up to the amount, or under an empty SKU and
-- region while the order's items are not known. It moves the money from there when they are. Rows are locked
-- in order.
WITH moved AS (
    UPDATE revenue_money m SET shared = true FROM revenue_orders o
    WHERE o.order_id = m.order_id AND o.region IS NOT NULL AND NOT m.shared AND m.order_id = ANY(@orders::text[])
    RETURNING m.order_id, m.day, m.currency, m.amount, m.payment, o.region
), added AS (
    SELECT n.order_id, n.day, n.currency, n.amount, n.payment, o.region
    FROM (SELECT
        unnest(@money_orders::text[]) AS order_id, unnest(@days::date[]) AS day, unnest(@currencies::text[]) AS currency,
        unnest(@amounts::bigint[]) AS amount, unnest(@payment::boolean[]) AS payment
    ) n JOIN revenue_orders o ON o.order_id = n.order_id
), known AS (
    SELECT * FROM moved
    UNION ALL
    SELECT * FROM added WHERE region IS NOT NULL
), changes AS (
    SELECT m.day, m.currency, m.region, l.sku, m.payment, 1 AS events,
        CASE WHEN l.total > 0 THEN div(m.amount * l.up_to, l.total) - div(m.amount * l.since, l.total)
            WHEN l.line = 1 THEN m.amount ELSE 0 END AS amount
    FROM known m CROSS JOIN LATERAL (
        SELECT s.line, s.sku, s.up_to, coalesce(lag(s.up_to) OVER (ORDER BY s.line), 0) AS since, max(s.up_to) OVER () AS total
        FROM revenue_shares s WHERE s.order_id = m.order_id
    ) l
    UNION ALL
    SELECT m.day, m.currency, '', '', m.payment, -1, -m.amount FROM moved m
    UNION ALL
    SELECT a.day, a.currency, '', '', a.payment, 1, a.amount FROM added a WHERE a.region IS NULL
)
INSERT INTO revenue_items AS r (day, currency, region, sku, captured, refunded, payments, refunds)
SELECT c.day, c.currency, c.region, c.sku,
    coalesce(sum(c.amount) FILTER (WHERE c.payment), 0), coalesce(sum(c.amount) FILTER (WHERE NOT c.payment), 0),
    coalesce(sum(c.events) FILTER (WHERE c.payment), 0), coalesce(sum(c.events) FILTER (WHERE NOT c.payment), 0)
FROM changes c
GROUP BY c.day, c.currency, c.region, c.sku
HAVING sum(c.amount) FILTER (WHERE c.payment) <> 0 OR sum(c.amount) FILTER (WHERE NOT c.payment) <> 0
    OR sum(c.events) FILTER (WHERE c.payment) <> 0 OR sum(c.events) FILTER (WHERE NOT c.payment) <> 0
ORDER BY c.day, c.currency, c.region, c.sku
ON CONFLICT (day, currency, region, sku) DO UPDATE SET
    captured = r.captured + excluded.captured, refunded = r.refunded + excluded.refunded,
    payments = r.payments + excluded.payments, refunds = r.refunds + excluded.refunds;
