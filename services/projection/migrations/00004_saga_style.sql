-- +goose Up
-- How the saga of the order is coordinated. The orders of before are choreographed. A process of the
-- release before that runs beside this one does not know the style of what it reads: its rows get NULL.
SET LOCAL lock_timeout = '5s';
ALTER TABLE orders ADD COLUMN saga_style text DEFAULT 'choreographed';
ALTER TABLE orders ALTER COLUMN saga_style DROP DEFAULT;

-- +goose Down
SET LOCAL lock_timeout = '5s';
ALTER TABLE orders DROP COLUMN saga_style;
