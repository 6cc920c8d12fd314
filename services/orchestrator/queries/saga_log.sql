-- name: FindLogged :many
-- Which of the events the logs of the orders have.
SELECT order_id, event_id FROM saga_log
WHERE order_id = ANY(@order_ids::text[]) AND event_id = ANY(@event_ids::text[]);

-- name: AddLog :exec
INSERT INTO saga_log (order_id, n, at, input, event_id, action, from_state, to_state, command, command_id, detail)
SELECT n.order_id, n.n, n.at, n.input, n.event_id, n.action, n.from_state, n.to_state, n.command, n.command_id, n.detail
FROM (SELECT
    unnest(@order_ids::text[]) AS order_id, unnest(@ns::integer[]) AS n, unnest(@at::timestamptz[]) AS at,
    unnest(@inputs::text[]) AS input, unnest(@event_ids::text[]) AS event_id, unnest(@actions::text[]) AS action,
    unnest(@from_states::text[]) AS from_state, unnest(@to_states::text[]) AS to_state,
    unnest(@commands::text[]) AS command, unnest(@command_ids::text[]) AS command_id, unnest(@details::text[]) AS detail
) n;

-- name: GetLog :many
SELECT * FROM saga_log WHERE order_id = @order_id ORDER BY n;
