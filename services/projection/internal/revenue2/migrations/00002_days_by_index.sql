-- +goose Up
SET LOCAL search_path TO revenue_v2, public;

-- The same rows as before. A condition on the day now reaches both tables: before, each query counted the
-- payments of all days, because a join passes on equality and no range.
CREATE OR REPLACE VIEW revenue_days AS
SELECT s.day, s.currency, s.captured, s.refunded, m.payments, m.refunds
FROM (
    SELECT day, currency, sum(captured) AS captured, sum(refunded) AS refunded FROM revenue_items GROUP BY day, currency
) s CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE n.payment) AS payments, count(*) FILTER (WHERE NOT n.payment) AS refunds
    FROM revenue_money n WHERE n.day = s.day AND n.currency = s.currency
) m
WHERE m.payments + m.refunds > 0;

-- +goose Down
SET LOCAL search_path TO revenue_v2, public;

CREATE OR REPLACE VIEW revenue_days AS
SELECT s.day, s.currency, s.captured, s.refunded, m.payments, m.refunds
FROM (
    SELECT day, currency, sum(captured) AS captured, sum(refunded) AS refunded FROM revenue_items GROUP BY day, currency
) s JOIN (
    SELECT day, currency, count(*) FILTER (WHERE payment) AS payments, count(*) FILTER (WHERE NOT payment) AS refunds
    FROM revenue_money GROUP BY day, currency
) m ON m.day = s.day AND m.currency = s.currency;
