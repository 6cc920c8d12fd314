-- +goose Up
ALTER TABLE sagas ADD COLUMN unexplained boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN sagas.unexplained IS 'The attention is about something that no command of the saga can have led to. It lasts until an operator acknowledges it, and not only until the next change of state.';
COMMENT ON COLUMN saga_log.event_id IS 'The event that was the input; empty for a time limit, and for a retry and an acknowledgement by an operator.';

-- +goose Down
ALTER TABLE sagas DROP COLUMN unexplained;
COMMENT ON COLUMN saga_log.event_id IS 'The event that was the input; empty for a time limit and an operator''s retry.';
