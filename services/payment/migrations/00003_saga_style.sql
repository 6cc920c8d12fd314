-- +goose Up

-- Rows of before, and rows that processes of the release before create, are choreographed.
SET LOCAL lock_timeout = '5s';
ALTER TABLE payments ADD COLUMN saga_style text NOT NULL DEFAULT 'choreographed';
COMMENT ON COLUMN payments.saga_style IS 'How the saga of the order is coordinated, by the first record about it: choreographed or orchestrated. It never changes, and all events of the payment have it.';

-- +goose Down
ALTER TABLE payments DROP COLUMN saga_style;
