-- The outbox, inbox and idempotency keys bring their own migrations; what only this
-- service needs is here.

-- +goose Up
CREATE TABLE sagas (
    order_id          text        PRIMARY KEY,
    definition        integer     NOT NULL,
    state             text        NOT NULL,
    step              text        NOT NULL DEFAULT '',
    attempt           integer     NOT NULL DEFAULT 0,
    compensations_due text[]      NOT NULL DEFAULT '{}',
    due_at            timestamptz,
    attention         text        NOT NULL DEFAULT '',
    reason            text        NOT NULL DEFAULT '',
    detail            text        NOT NULL DEFAULT '',
    -- What the commands carry, from OrderCreated and from answers.
    customer_id       text        NOT NULL DEFAULT '',
    address           jsonb,
    items             jsonb,
    total_amount      bigint      NOT NULL DEFAULT 0,
    currency          text        NOT NULL DEFAULT '',
    tracking_id       text        NOT NULL DEFAULT '',
    version           bigint      NOT NULL DEFAULT 0,
    log_lines         integer     NOT NULL DEFAULT 0,
    -- What a command carries on that no event leads to: an operator has it sent.
    correlation_id    text        NOT NULL,
    causation_id      text        NOT NULL DEFAULT '',
    traceparent       text        NOT NULL DEFAULT '',
    tracestate        text        NOT NULL DEFAULT '',
    started_at        timestamptz NOT NULL,
    changed_at        timestamptz NOT NULL
);
CREATE INDEX sagas_due_at ON sagas (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX sagas_attention ON sagas (order_id) WHERE attention <> '';
CREATE INDEX sagas_state ON sagas (state, order_id);
COMMENT ON TABLE sagas IS 'One row per orchestrated order. A row without log lines is of an order whose OrderCreated failed.';
COMMENT ON COLUMN sagas.definition IS 'The version of the steps under which the saga began and ends.';
COMMENT ON COLUMN sagas.step IS 'The step that the state belongs to; empty where no answer is open.';
COMMENT ON COLUMN sagas.attempt IS 'How often the command of the present state was sent.';
COMMENT ON COLUMN sagas.compensations_due IS 'Commands without an answer yet, the one that was sent first, of a saga that goes back.';
COMMENT ON COLUMN sagas.due_at IS 'When the answer is late. NULL: it was late already, or no answer is open.';
COMMENT ON COLUMN sagas.attention IS 'What a person has to look at, and what to do; empty otherwise.';
COMMENT ON COLUMN sagas.reason IS 'Why the saga turned back, in the vocabulary of OrderCancelled.';
COMMENT ON COLUMN sagas.total_amount IS 'Minor units of currency, an ISO 4217 code.';
COMMENT ON COLUMN sagas.version IS 'The number of commands sent.';

CREATE TABLE saga_log (
    order_id   text        NOT NULL REFERENCES sagas,
    n          integer     NOT NULL,
    at         timestamptz NOT NULL,
    input      text        NOT NULL,
    event_id   text        NOT NULL DEFAULT '',
    action     text        NOT NULL,
    from_state text        NOT NULL,
    to_state   text        NOT NULL,
    command    text        NOT NULL DEFAULT '',
    command_id text        NOT NULL DEFAULT '',
    detail     text        NOT NULL DEFAULT '',
    PRIMARY KEY (order_id, n)
);
COMMENT ON TABLE saga_log IS 'Every input of a saga but duplicates, in order, with the decision and the command that it led to. Rows never change.';
COMMENT ON COLUMN saga_log.event_id IS 'The event that was the input; empty for a time limit and an operator''s retry.';
COMMENT ON COLUMN saga_log.command_id IS 'The event id of the command.';

-- +goose Down
DROP TABLE saga_log, sagas;
