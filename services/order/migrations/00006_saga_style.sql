-- +goose Up
-- The style of each order's saga. Orders of before are choreographed, and so are those that processes of
-- the release before place.
ALTER TABLE sagas ADD COLUMN saga_style text NOT NULL DEFAULT 'choreographed';

-- One row: which style new orders have that do not name one.
CREATE TABLE saga_style (
    only_row             boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    orchestrated_percent int         NOT NULL DEFAULT 0 CHECK (orchestrated_percent BETWEEN 0 AND 100),
    changed_at           timestamptz NOT NULL DEFAULT now(),  -- of the percentage
    ready                boolean     NOT NULL DEFAULT false,  -- every participant knows both styles
    reason               text        NOT NULL DEFAULT 'the participants were not asked yet',  -- why not; '': ready
    checked_at           timestamptz NOT NULL DEFAULT now()   -- when that was last found
);
INSERT INTO saga_style DEFAULT VALUES;

-- +goose Down
DROP TABLE saga_style;
ALTER TABLE sagas DROP COLUMN saga_style;
