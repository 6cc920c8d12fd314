-- +goose Up
CREATE TABLE mails (
    order_id        text        PRIMARY KEY,
    state           text        NOT NULL,
    correlation_id  text        NOT NULL,
    style           text        NOT NULL DEFAULT '',
    customer_id     text        NOT NULL DEFAULT '',
    recipient       text        NOT NULL DEFAULT '',
    subject         text        NOT NULL DEFAULT '',
    body            text        NOT NULL DEFAULT '',
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    last_error      text        NOT NULL DEFAULT '',
    reason          text        NOT NULL DEFAULT '',
    traceparent     text        NOT NULL DEFAULT '',
    tracestate      text        NOT NULL DEFAULT '',
    placed_at       timestamptz,
    ended_at        timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT mails_due CHECK ((state = 'TO_SEND') = (next_attempt_at IS NOT NULL)),
    CONSTRAINT mails_ended CHECK ((state IN ('SENT', 'REFUSED')) = (ended_at IS NOT NULL))
);
COMMENT ON TABLE mails IS 'One row per order: its mail, or the event that was left out. next_attempt_at is the end of the lease while a process sends the mail.';
CREATE INDEX mails_by_attempt ON mails (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX mails_awaiting ON mails (created_at) WHERE state IN ('AWAITING_ORDER_PLACED', 'AWAITING_ORDER_CREATED');

CREATE TABLE mailing (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    since    timestamptz NOT NULL
);
COMMENT ON TABLE mailing IS 'Since when orders get mails. The topics begin with the first order of the shop.';
-- In a shop whose processes all start for the first time, orders may be accepted a little earlier.
INSERT INTO mailing (since) VALUES (now() - interval '10 minutes');

-- +goose Down
DROP TABLE mailing, mails;
