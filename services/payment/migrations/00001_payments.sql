-- The outbox, inbox and idempotency keys bring their own migrations; what only this
-- service needs is here.

-- +goose Up
CREATE TABLE payments (
    order_id        text        PRIMARY KEY,
    state           text        NOT NULL,
    version         bigint      NOT NULL DEFAULT 0,
    -- Empty and 0 until OrderCreated, or the gateway's picture of the charge, has come.
    customer_id     text        NOT NULL DEFAULT '',
    amount          bigint      NOT NULL DEFAULT 0,
    currency        text        NOT NULL DEFAULT '',
    charge_id       text        NOT NULL DEFAULT '',
    refund_id       text        NOT NULL DEFAULT '',
    decline_code    text        NOT NULL DEFAULT '',
    decline_detail  text        NOT NULL DEFAULT '',
    reason          text        NOT NULL DEFAULT '',
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    last_error      text        NOT NULL DEFAULT '',
    attention       text        NOT NULL DEFAULT '',
    -- What the events of the worker carry on: it acts long after its cause.
    correlation_id  text        NOT NULL,
    causation_id    text        NOT NULL DEFAULT '',
    traceparent     text        NOT NULL DEFAULT '',
    tracestate      text        NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT payments_state CHECK (state IN
        ('NONE', 'COMPLETED', 'FAILED', 'VOIDING', 'VOIDED', 'REFUNDING', 'REFUNDED', 'REFUND_FAILED')),
    CONSTRAINT payments_captured CHECK (state NOT IN ('COMPLETED', 'REFUNDING', 'REFUNDED', 'REFUND_FAILED')
        OR (amount > 0 AND currency <> '' AND charge_id <> '')),
    -- Whoever holds money that has to go back has an appointment with the worker.
    CONSTRAINT payments_returning CHECK ((state IN ('VOIDING', 'REFUNDING')) = (next_attempt_at IS NOT NULL))
);
CREATE INDEX payments_next_attempt_at ON payments (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX payments_attention ON payments (order_id) WHERE attention <> '';
COMMENT ON TABLE payments IS 'One row an order, tombstones included. version counts the events emitted.';
COMMENT ON COLUMN payments.amount IS 'Minor units of currency, an ISO 4217 code.';
COMMENT ON COLUMN payments.reason IS 'What the first compensation gave as its reason.';
COMMENT ON COLUMN payments.attempts IS 'Attempts to give the money back, counted when they begin.';
COMMENT ON COLUMN payments.next_attempt_at IS 'When the worker is due. While an attempt runs: when its lease ends.';
COMMENT ON COLUMN payments.attention IS 'Why a person has to look; empty when nobody has to.';

CREATE TABLE payment_history (
    order_id text        NOT NULL REFERENCES payments,
    n        integer     NOT NULL,
    at       timestamptz NOT NULL,
    input    text        NOT NULL,
    action   text        NOT NULL,
    state    text        NOT NULL,
    detail   text        NOT NULL DEFAULT '',
    PRIMARY KEY (order_id, n)
);
COMMENT ON TABLE payment_history IS 'What moved a payment or raised attention, in order. Attempts are only counted, in payments.';

-- +goose Down
DROP TABLE payment_history, payments;
