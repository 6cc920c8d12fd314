-- name: GetOrder :one
-- An order is listed after OrderCreated has arrived, which sets customer_id and created_at.
SELECT * FROM orders WHERE order_id = @order_id AND created_at IS NOT NULL;

-- name: OrderVersions :many
-- The versions of the last order events that were applied, whether OrderCreated is one of them or not.
SELECT order_id, status_version FROM orders WHERE order_id = ANY(@order_ids::text[]);

-- name: ListItems :many
SELECT * FROM order_items WHERE order_id = @order_id ORDER BY line;

-- name: ListTimeline :many
SELECT * FROM timeline WHERE order_id = @order_id ORDER BY occurred_at, event_id;

-- name: ListOrders :many
SELECT * FROM orders WHERE created_at IS NOT NULL AND order_id < @before
ORDER BY order_id DESC LIMIT @max_rows;

-- name: ListOrdersByStatus :many
-- The collation, which sorts UUIDs as any other does, keeps the planner from the primary key: see the
-- index orders_by_status_and_id.
SELECT * FROM orders WHERE status = @status::text AND created_at IS NOT NULL AND order_id COLLATE "C" < @before::text
ORDER BY order_id COLLATE "C" DESC LIMIT @max_rows;

-- name: ListOrdersByCustomer :many
SELECT * FROM orders WHERE customer_id = @customer_id::text AND order_id < @before
ORDER BY order_id DESC LIMIT @max_rows;

-- name: ListOrdersByCustomerAndStatus :many
SELECT * FROM orders WHERE customer_id = @customer_id::text AND status = @status::text AND order_id < @before
ORDER BY order_id DESC LIMIT @max_rows;

-- name: Revenue :many
-- The sums are decimal integers of up to 38 digits, as text: int64 cannot hold them all.
SELECT day, currency, captured::text AS captured, refunded::text AS refunded,
    (captured - refunded)::text AS net, payments, refunds
FROM revenue_days WHERE day >= @from_day AND day <= @to_day ORDER BY day, currency;
