-- +goose Up

-- How the saga of the order is coordinated, stored when its first record arrives. Rows of before, and
-- rows that processes of the release before create, are choreographed.
SET LOCAL lock_timeout = '5s';
ALTER TABLE reservations
    ADD COLUMN saga_style text NOT NULL DEFAULT 'choreographed' CHECK (saga_style IN ('choreographed', 'orchestrated')),
    ADD COLUMN attention  text NOT NULL DEFAULT '';
COMMENT ON COLUMN reservations.attention IS 'Why a person has to look; empty when there is no reason.';
COMMENT ON TABLE reservations IS 'One row per order, tombstones included. version counts the events emitted.';

-- +goose Down
SET LOCAL lock_timeout = '5s';
LOCK TABLE reservations IN SHARE ROW EXCLUSIVE MODE;
-- +goose StatementBegin
DO $do$ BEGIN
    IF EXISTS (SELECT FROM reservations WHERE saga_style <> 'choreographed' AND state NOT IN ('REJECTED', 'RELEASED', 'CANCELLED', 'SHIPPED')) THEN
        RAISE EXCEPTION 'reservations of orchestrated orders are open: the release before would act on the events of other services, so let this one end them first'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $do$;
-- +goose StatementEnd
ALTER TABLE reservations DROP COLUMN saga_style, DROP COLUMN attention;
COMMENT ON TABLE reservations IS 'One row an order, tombstones included. version counts the events emitted.';
