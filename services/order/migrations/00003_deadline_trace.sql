-- +goose Up
-- The trace in which a deadline passes: the worker acts long after the request that placed the
-- order. Empty for orders of before; then the worker starts a trace.
ALTER TABLE saga_deadlines
    ADD COLUMN traceparent text NOT NULL DEFAULT '',
    ADD COLUMN tracestate  text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE saga_deadlines DROP COLUMN traceparent, DROP COLUMN tracestate;
