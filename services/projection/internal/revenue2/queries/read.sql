-- name: ListItems :many
-- Each SKU and region of each day. Money of an order whose items are not known yet is under empty ones.
SELECT r.day, r.currency, r.region, r.sku, r.captured::text AS captured, r.refunded::text AS refunded,
    (r.captured - r.refunded)::text AS net, r.payments, r.refunds
FROM revenue_items r
WHERE r.day >= @from_day AND r.day <= @to_day AND (r.payments <> 0 OR r.refunds <> 0)
    AND (@sku::text = '' OR r.sku = @sku) AND (@region::text = '' OR r.region = @region)
ORDER BY r.day, r.currency, r.region, r.sku;
