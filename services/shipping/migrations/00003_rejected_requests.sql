-- +goose Up
-- Which requests to cancel were told that it is too late: one that comes again, when the
-- inbox has forgotten it, is not answered a second time.
ALTER TABLE shipments ADD COLUMN rejected_requests text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN shipments.rejected_requests IS 'Event ids of the cancellation requests that were rejected; * where a rejection was told before this was noted, and stands for every request.';
-- On the way to DISPATCHED two events are told, to DELIVERED three, each once. One more is
-- the rejection.
UPDATE shipments SET rejected_requests = '{*}'
WHERE state = 'DISPATCHED' AND version > 2 OR state = 'DELIVERED' AND version > 3;

-- +goose Down
ALTER TABLE shipments DROP COLUMN rejected_requests;
