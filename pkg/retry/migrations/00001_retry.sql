-- +goose Up

-- One row per key that has a record in retry, or one that was given up and that
-- nobody has decided about. Its head is the only record of the key that may have an
-- effect; whatever of the key arrives meanwhile follows it in parked_records.
CREATE TABLE parked_keys (
    consumer_group text        NOT NULL,
    topic          text        NOT NULL,  -- the original topic: order is per topic and key
    key            bytea       NOT NULL,  -- empty for a record without key
    head           uuid        NOT NULL,  -- retrying: the id of the one retry record that counts; dead: the dead letter
    state          text        NOT NULL CHECK (state IN ('retrying', 'dead')),
    event_type     text        NOT NULL,
    attempts       integer     NOT NULL,  -- how often the head has failed
    not_before     timestamptz NOT NULL,  -- of the next attempt
    last_error     text        NOT NULL,
    payload        bytea,                 -- of a head too large for the retry topic
    parked_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer_group, topic, key)
);

-- What waits behind a head, in order of arrival.
CREATE TABLE parked_records (
    position         bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    consumer_group   text        NOT NULL,
    topic            text        NOT NULL,
    key              bytea       NOT NULL,
    record_key       bytea,                -- as it came: NULL is not empty
    inbox_id         uuid        NOT NULL, -- what the inbox received it as
    dead_letter      uuid,                 -- a dead letter that was resubmitted and waits its turn
    event_type       text        NOT NULL,
    record_partition integer     NOT NULL,
    record_offset    bigint      NOT NULL,
    record_time      timestamptz NOT NULL,
    payload          bytea,
    headers          jsonb       NOT NULL,
    arrived_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX parked_records_of_key ON parked_records (consumer_group, topic, key, position);

-- Records that were given up. The dead-letter topic has a copy for whoever listens;
-- this is where people decide, and it is written in the same transaction.
CREATE TABLE dead_letters (
    id               uuid        PRIMARY KEY, -- UUIDv7; dlq_id on the topic
    consumer_group   text        NOT NULL,
    topic            text        NOT NULL,
    record_key       bytea,
    record_partition integer     NOT NULL,
    record_offset    bigint      NOT NULL,
    record_time      timestamptz NOT NULL,
    payload          bytea,
    headers          jsonb       NOT NULL,
    inbox_id         uuid        NOT NULL,
    event_id         uuid,                    -- of what could be read as an event
    event_type       text        NOT NULL,
    error_class      text        NOT NULL,    -- an errs.Kind
    error_message    text        NOT NULL,
    error_stack      text        NOT NULL,
    attempts         integer     NOT NULL,    -- over all resubmissions
    first_failure    timestamptz NOT NULL,
    last_failure     timestamptz NOT NULL,
    parks            boolean     NOT NULL,    -- its key waits until somebody decides
    status           text        NOT NULL CHECK (status IN ('open', 'resubmitted', 'resolved', 'discarded')),
    retry_id         uuid,                    -- of its latest resubmission
    edited_key       bytea,                   -- the repaired record; all three are NULL until it is edited
    edited_payload   bytea,
    edited_headers   jsonb,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at        timestamptz              -- when it was resolved or discarded
);
CREATE INDEX dead_letters_waiting ON dead_letters (consumer_group, topic, id) WHERE status IN ('open', 'resubmitted');

-- Who did what to a dead letter, when and why. The consumer's own steps are in it too.
CREATE TABLE dead_letter_actions (
    id          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    dead_letter uuid        NOT NULL REFERENCES dead_letters ON DELETE CASCADE,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text        NOT NULL,          -- a person's name, or the consumer group
    action      text        NOT NULL,
    detail      text        NOT NULL DEFAULT ''
);
CREATE INDEX dead_letter_actions_of ON dead_letter_actions (dead_letter, id);

-- +goose Down
DROP TABLE dead_letter_actions;
DROP TABLE dead_letters;
DROP TABLE parked_records;
DROP TABLE parked_keys;
