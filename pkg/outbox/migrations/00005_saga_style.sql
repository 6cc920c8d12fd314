-- +goose Up

-- How the saga of the event is coordinated: the header ce_sagastyle. Rows of before, and rows that
-- processes of the release before append, are choreographed. Raw rows have headers of their own.
SET LOCAL lock_timeout = '5s';
ALTER TABLE outbox ADD COLUMN ce_sagastyle text NOT NULL DEFAULT 'choreographed';

-- +goose Down
SET LOCAL lock_timeout = '5s';
LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE outbox_relay IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $do$ BEGIN
    IF EXISTS (SELECT FROM outbox_relay WHERE queue AND expires_at > clock_timestamp()) THEN
        RAISE EXCEPTION 'relays that read the style run: stop every process of this release first'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (SELECT FROM outbox_queue q JOIN outbox o USING (id) WHERE o.ce_sagastyle <> 'choreographed') THEN
        RAISE EXCEPTION 'events of orchestrated sagas wait: the release before would publish them without their style, so let this one publish them first'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $do$;
-- +goose StatementEnd
ALTER TABLE outbox DROP COLUMN ce_sagastyle;
