-- +goose Up
-- Several snapshots per stream, each with the format of its state and a checksum. The table snapshots
-- stays for processes of the release before, which upsert by its primary key, one row per stream.
-- Its rows have no checksum, so they are not read any more. A later release drops it.
CREATE TABLE stream_snapshots (
    stream_id text        NOT NULL,
    -- Part of the key: during a roll, processes of two formats each find their own.
    format    integer     NOT NULL CHECK (format >= 1),
    version   bigint      NOT NULL,
    -- json and not jsonb: the checksum covers the bytes as they were written.
    state     json        NOT NULL,
    checksum  bytea       NOT NULL,
    taken_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream_id, format, version),
    FOREIGN KEY (stream_id, version) REFERENCES events (stream_id, version)
);
COMMENT ON TABLE stream_snapshots IS 'A cache of the states after some versions. Rows may be deleted at any time.';

-- +goose Down
DROP TABLE stream_snapshots;
