-- name: AddToTimeline :execrows
-- No row: the fact is there already, and whatever follows from it too.
INSERT INTO timeline (order_id, event_id, topic, event_type, version, occurred_at, detail)
VALUES (@order_id, @event_id, @topic, @event_type, @version, @occurred_at, @detail)
ON CONFLICT (order_id, event_id) DO NOTHING;

-- name: TouchOrder :exec
-- Makes the row there is to update, and keeps the latest instant whatever the
-- order of arrival.
INSERT INTO orders AS o (order_id, updated_at) VALUES (@order_id, @occurred_at)
ON CONFLICT (order_id) DO UPDATE SET updated_at = greatest(o.updated_at, excluded.updated_at);

-- name: CreateOrder :execrows
-- No row: another OrderCreated has filled the order in, and its items are there.
UPDATE orders SET customer_id = @customer_id, customer_name = @customer_name,
    customer_email = @customer_email, street = @street, city = @city, postal_code = @postal_code,
    country = @country, currency = @currency, total_amount = @total_amount, created_at = @created_at
WHERE order_id = @order_id AND created_at IS NULL;

-- name: AddItem :exec
INSERT INTO order_items (order_id, line, sku, quantity, unit_price)
VALUES (@order_id, @line, @sku, @quantity, @unit_price);

-- name: SetStatus :exec
UPDATE orders SET status = @status, status_version = @version
WHERE order_id = @order_id AND status_version < @version;

-- name: SetTracking :exec
UPDATE orders SET tracking_id = @tracking_id WHERE order_id = @order_id;

-- name: SetCancelReason :exec
UPDATE orders SET cancel_reason = @cancel_reason WHERE order_id = @order_id;

-- name: SetNeedsAttention :exec
UPDATE orders SET needs_attention = @needs_attention, attention_version = @version
WHERE order_id = @order_id AND attention_version < @version;

-- name: AddCapture :exec
INSERT INTO revenue_days AS r (day, currency, captured, payments) VALUES (@day, @currency, @amount::bigint, 1)
ON CONFLICT (day, currency) DO UPDATE SET captured = r.captured + excluded.captured, payments = r.payments + 1;

-- name: AddRefund :exec
INSERT INTO revenue_days AS r (day, currency, refunded, refunds) VALUES (@day, @currency, @amount::bigint, 1)
ON CONFLICT (day, currency) DO UPDATE SET refunded = r.refunded + excluded.refunded, refunds = r.refunds + 1;
