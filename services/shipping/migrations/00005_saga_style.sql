-- +goose Up

-- Rows of before, and rows that processes of the release before create, are choreographed.
SET LOCAL lock_timeout = '5s';
ALTER TABLE shipments
    ADD COLUMN saga_style text NOT NULL DEFAULT 'choreographed',
    ADD COLUMN attention  text NOT NULL DEFAULT '';
COMMENT ON COLUMN shipments.saga_style IS 'How the saga of the order is coordinated, by the first record about it: choreographed or orchestrated. It never changes, and all events of the shipment have it.';
COMMENT ON COLUMN shipments.attention IS 'Why a person has to look: records that contradict saga_style. Empty when there were none.';

-- +goose Down
ALTER TABLE shipments DROP COLUMN saga_style, DROP COLUMN attention;
