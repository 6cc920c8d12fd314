-- +goose Up
-- The timeline has one row per fact, and a sum changes only in the transaction that adds the
-- row. So a fact counts once, whatever the inbox has forgotten. The rows that are there were
-- added with the sums that are there, one for one, so both stay as they are.
COMMENT ON TABLE timeline IS 'Read model: the saga of each order, every event of every service. One row per fact: only a fresh row has an effect on the other tables.';

-- One order fits int64. A day's orders need not.
ALTER TABLE revenue_days
    ALTER COLUMN captured TYPE numeric(38, 0),
    ALTER COLUMN refunded TYPE numeric(38, 0);
COMMENT ON TABLE revenue_days IS 'Read model: minor units by UTC day of the event. Sums over the timeline''s facts, each counted once.';

-- +goose Down
-- Fails where a sum no longer fits: a smaller number would be a wrong one.
ALTER TABLE revenue_days
    ALTER COLUMN captured TYPE bigint,
    ALTER COLUMN refunded TYPE bigint;
COMMENT ON TABLE revenue_days IS 'Read model: minor units by UTC day of the event. Sums, so each event must count once: the inbox sees to it.';
COMMENT ON TABLE timeline IS 'Read model: the saga of each order, every event of every service.';
