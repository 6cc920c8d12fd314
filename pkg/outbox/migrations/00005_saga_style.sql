-- +goose Up

-- How the saga of the event is coordinated: the header ce_sagastyle. Rows of before, and rows that
-- processes of the release before append, are choreographed. Raw rows have headers of their own.
SET LOCAL lock_timeout = '5s';
ALTER TABLE outbox ADD COLUMN ce_sagastyle text NOT NULL DEFAULT 'choreographed';

-- +goose Down
ALTER TABLE outbox DROP COLUMN ce_sagastyle;
