-- name: GetCursor :one
SELECT coalesce((SELECT cursor FROM carrier_feed WHERE carrier = @carrier), 0)::bigint AS cursor;

-- name: OpenCursor :exec
INSERT INTO carrier_feed (carrier, updated_at) VALUES (@carrier, @now) ON CONFLICT (carrier) DO NOTHING;

-- name: LockCursor :one
SELECT cursor FROM carrier_feed WHERE carrier = @carrier FOR UPDATE;

-- name: MoveCursor :exec
UPDATE carrier_feed SET cursor = @cursor, updated_at = @now WHERE carrier = @carrier;
