-- +goose Up

-- Where records lie that were given up. It outlives their dead letters: a record that comes
-- again, when the inbox has forgotten it and its closed dead letter was pruned, was decided
-- about all the same, and its bytes are as broken as they were. One narrow row per dead
-- letter, for as long as the group exists.
CREATE TABLE given_up (
    consumer_group   text        NOT NULL,
    topic            text        NOT NULL,
    record_partition integer     NOT NULL,
    record_offset    bigint      NOT NULL,
    record_time      timestamptz NOT NULL, -- a topic that was lost and made anew has other records in the same places
    key              bytea,                -- what its order is kept by (see KeyOf); NULL for one that parked nothing
    dead_letter      uuid        NOT NULL,
    decision         text        NOT NULL DEFAULT '' CHECK (decision IN ('', 'resolved', 'discarded')),
    PRIMARY KEY (consumer_group, topic, record_partition, record_offset)
);

INSERT INTO given_up (consumer_group, topic, record_partition, record_offset, record_time, key, dead_letter, decision)
SELECT DISTINCT ON (consumer_group, topic, record_partition, record_offset)
    consumer_group, topic, record_partition, record_offset, record_time,
    CASE WHEN NOT parks THEN NULL WHEN octet_length(record_key) > 512 THEN 'sha256:'::bytea || sha256(record_key) ELSE coalesce(record_key, '') END,
    id,
    CASE WHEN status IN ('resolved', 'discarded') THEN status ELSE '' END
FROM dead_letters
ORDER BY consumer_group, topic, record_partition, record_offset, record_time DESC, id DESC;

-- +goose Down
DROP TABLE given_up;
