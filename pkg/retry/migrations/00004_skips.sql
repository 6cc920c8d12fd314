-- +goose Up

-- An operator can have a record skipped that waits and cannot be stored as a dead letter: the
-- record is given up without one. 'skip' is what was asked for, 'skipped' what became of it.
ALTER TABLE given_up
    ALTER COLUMN dead_letter DROP NOT NULL,
    ALTER COLUMN record_time DROP NOT NULL, -- not known before the record is skipped
    ADD COLUMN actor text NOT NULL DEFAULT '',
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN asked_at timestamptz,
    ADD COLUMN skipped_at timestamptz,
    DROP CONSTRAINT given_up_decision_check,
    ADD CONSTRAINT given_up_decision_check CHECK (decision IN ('', 'resolved', 'discarded', 'skip', 'skipped')),
    ADD CONSTRAINT given_up_by_letter_or_skip CHECK ((dead_letter IS NULL) = (decision IN ('skip', 'skipped')));
CREATE INDEX given_up_skips ON given_up (consumer_group, asked_at) WHERE asked_at IS NOT NULL;

-- +goose Down
DELETE FROM given_up WHERE dead_letter IS NULL;
DROP INDEX given_up_skips;
ALTER TABLE given_up
    DROP CONSTRAINT given_up_by_letter_or_skip,
    DROP CONSTRAINT given_up_decision_check,
    ADD CONSTRAINT given_up_decision_check CHECK (decision IN ('', 'resolved', 'discarded')),
    DROP COLUMN skipped_at, DROP COLUMN asked_at, DROP COLUMN reason, DROP COLUMN actor,
    ALTER COLUMN record_time SET NOT NULL,
    ALTER COLUMN dead_letter SET NOT NULL;
