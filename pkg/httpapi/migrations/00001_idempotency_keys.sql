-- +goose Up
-- Answers to requests that carried an Idempotency-Key, written in the
-- transaction of their effect. Rows older than 24 hours count as absent.
CREATE TABLE idempotency_keys (
    caller       text        NOT NULL,
    scope        text        NOT NULL,
    key          text        NOT NULL,
    request_hash bytea       NOT NULL, -- SHA-256 of method, target and body
    status       integer     NOT NULL,
    headers      jsonb       NOT NULL, -- the answer's own headers: {"Location": ["…"]}
    body         bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, scope, key)
);

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- +goose Down
DROP TABLE idempotency_keys;
