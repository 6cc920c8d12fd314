-- +goose Up

-- Processes of a release that does not know given_up may run beside new ones during an upgrade.
-- What they give up, and what is decided about a dead letter in one of them, is noted here for
-- them. New processes note the same themselves.
SET LOCAL lock_timeout = '5s';
LOCK TABLE dead_letters IN SHARE ROW EXCLUSIVE MODE;

-- +goose StatementBegin
CREATE FUNCTION given_up_buried() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.given_up AS g (consumer_group, topic, record_partition, record_offset, record_time, key, dead_letter)
    VALUES (NEW.consumer_group, NEW.topic, NEW.record_partition, NEW.record_offset, NEW.record_time,
        CASE WHEN NOT NEW.parks THEN NULL WHEN octet_length(NEW.record_key) > 512 THEN 'sha256:'::bytea || sha256(NEW.record_key) ELSE coalesce(NEW.record_key, '') END,
        NEW.id)
    ON CONFLICT (consumer_group, topic, record_partition, record_offset)
        DO UPDATE SET record_time = excluded.record_time, key = excluded.key, dead_letter = excluded.dead_letter, decision = '',
            asked_at = NULL, skipped_at = NULL
        WHERE g.dead_letter IS DISTINCT FROM excluded.dead_letter;
    RETURN NULL;
END $$;

CREATE FUNCTION given_up_decided() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.given_up SET decision = NEW.status
    WHERE (consumer_group, topic, record_partition, record_offset) = (NEW.consumer_group, NEW.topic, NEW.record_partition, NEW.record_offset)
        AND dead_letter = NEW.id AND decision <> NEW.status;
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION given_up_buried, given_up_decided FROM PUBLIC;

CREATE TRIGGER given_up_buried AFTER INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION given_up_buried();
CREATE TRIGGER given_up_decided AFTER UPDATE OF status ON dead_letters FOR EACH ROW
    WHEN (NEW.status IN ('resolved', 'discarded') AND NEW.status <> OLD.status) EXECUTE FUNCTION given_up_decided();

-- What such processes did between the migration that made given_up and this one.
INSERT INTO given_up (consumer_group, topic, record_partition, record_offset, record_time, key, dead_letter)
SELECT DISTINCT ON (consumer_group, topic, record_partition, record_offset)
    consumer_group, topic, record_partition, record_offset, record_time,
    CASE WHEN NOT parks THEN NULL WHEN octet_length(record_key) > 512 THEN 'sha256:'::bytea || sha256(record_key) ELSE coalesce(record_key, '') END,
    id
FROM dead_letters
ORDER BY consumer_group, topic, record_partition, record_offset, record_time DESC, id DESC
ON CONFLICT DO NOTHING;
UPDATE given_up g SET decision = d.status FROM dead_letters d
WHERE g.dead_letter = d.id AND d.status IN ('resolved', 'discarded') AND g.decision = '';

-- +goose Down
DROP TRIGGER given_up_decided ON dead_letters;
DROP TRIGGER given_up_buried ON dead_letters;
DROP FUNCTION given_up_decided, given_up_buried;
