-- +goose Up
ALTER TABLE payments ADD COLUMN returning_since timestamptz;
UPDATE payments SET returning_since = updated_at WHERE next_attempt_at IS NOT NULL;
COMMENT ON COLUMN payments.returning_since IS 'When the present round of attempts began: the refund''s deadline counts from here.';
COMMENT ON COLUMN payments.attempts IS 'Attempts of this round to give the money back, counted when they begin; one that the circuit breaker refused is taken back.';

-- +goose Down
ALTER TABLE payments DROP COLUMN returning_since;
COMMENT ON COLUMN payments.attempts IS 'Attempts to give the money back, counted when they begin.';
