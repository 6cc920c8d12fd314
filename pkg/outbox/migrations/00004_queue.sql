-- +goose Up

-- Waits for the writers, and new ones wait until this migration commits, so that what is read
-- below is all there is. When a writer does not end, the migration fails and is tried again.
-- The relays' tables follow in the order in which a relay's claim locks them.
SET LOCAL lock_timeout = '5s';
LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE outbox_relay, outbox_lease, outbox_mode IN ACCESS EXCLUSIVE MODE;

-- What is to be published: one entry per publication, removed when the broker has acknowledged
-- it. A row of outbox has at most one entry. (seq, publication) is never used again, so a late
-- acknowledgement removes nothing but what was sent. Entries are never updated.
CREATE TABLE outbox_queue (
    seq         bigint   NOT NULL,           -- that of the row: the order of publishing
    publication bigint   NOT NULL DEFAULT 0, -- 0: the first one; else see outbox_mode.requeues
    id          uuid     NOT NULL,           -- that of the row
    shard       smallint NOT NULL,           -- that of the row
    raw         boolean  NOT NULL,           -- a raw record, and no event
    captured    boolean  NOT NULL,           -- in mode debezium, Debezium sends it and polling does not
    PRIMARY KEY (shard, seq)
) WITH (
    -- An entry lives for milliseconds. Vacuum often, whatever the size, and keep the empty pages.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000, vacuum_truncate = false
);

-- What the polling relay reads in mode debezium, where the other entries may be many.
CREATE INDEX outbox_queue_rest ON outbox_queue (shard, seq) WHERE NOT captured;

-- When rows were published: one row per acknowledgement of many. outbox_history reads it.
CREATE TABLE outbox_acknowledgement (
    published_at timestamptz    NOT NULL DEFAULT clock_timestamp(),
    seqs         int8multirange NOT NULL
);
CREATE INDEX outbox_acknowledgement_seqs ON outbox_acknowledgement USING gist (seqs);
CREATE INDEX outbox_acknowledgement_published_at ON outbox_acknowledgement USING brin (published_at) WITH (pages_per_range = 16, autosummarize = on);

-- requeues changes, in the same transaction, whenever entries with old sequence numbers appear:
-- a relay then reads from the beginning. It begins above what outbox.publication can hold.
ALTER TABLE outbox_mode
    ADD COLUMN requeues    bigint      NOT NULL DEFAULT 2147483648,
    ADD COLUMN queue_since timestamptz NOT NULL DEFAULT clock_timestamp();
ALTER TABLE outbox_lease ADD COLUMN claims bigint NOT NULL DEFAULT 0;         -- each claim adds one
-- A relay of the release before leads nothing from here on, not even for the rest of its lease: it
-- reads rows that processes of that release append, and would publish them before earlier ones of
-- their keys that a new process has appended, which it does not see.
UPDATE outbox_lease SET holder = NULL, expires_at = '-infinity';
-- Of the versions of a lease that a reader's old snapshot keeps, a read visits the latest only.
CREATE INDEX outbox_lease_held ON outbox_lease (holder, expires_at);
ALTER TABLE outbox_relay ADD COLUMN queue boolean NOT NULL DEFAULT false;     -- it reads outbox_queue

-- Empty after a crash, a failover or a restore: the server has forgotten the latest commits that did
-- not wait for the disk, and the latest numbers of the sequence. Nothing that a process remembers of
-- the queue from before holds any more. One row, made by the relays.
CREATE UNLOGGED TABLE outbox_incarnation (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id  uuid    NOT NULL DEFAULT gen_random_uuid()
);

-- published_at of outbox: NULL is a row that the release before appended. 'epoch' is one that has
-- been in outbox_queue from the beginning; only outbox_history has its time.
INSERT INTO outbox_queue (seq, publication, id, shard, raw, captured)
SELECT seq, CASE publication WHEN 1 THEN 1 ELSE 2147483648 END, id, shard, ce_specversion IS NULL, ce_specversion IS NOT NULL AND publication = 1
FROM outbox WHERE published_at IS NULL;

-- The table as it would be if published_at were kept in it. A row whose time is not kept any more
-- has that of its creation.
CREATE VIEW outbox_history AS
SELECT id, seq, shard, aggregate_type, aggregate_id, event_type, topic, key, payload, created_at,
    CASE WHEN NOT EXISTS (SELECT FROM outbox_queue q WHERE q.shard = o.shard AND q.seq = o.seq) THEN
        coalesce(greatest((SELECT max(a.published_at) FROM outbox_acknowledgement a WHERE a.seqs @> o.seq), nullif(o.published_at, 'epoch')), o.created_at)
    END AS published_at
FROM outbox o;

-- The rest is for processes of the release before, which run beside new ones during an upgrade.
-- They append rows without entries, and acknowledge rows and publish them again in outbox itself.

-- +goose StatementBegin
CREATE FUNCTION outbox_queue_appended() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.outbox_queue (seq, publication, id, shard, raw, captured)
    VALUES (NEW.seq, NEW.publication, NEW.id, NEW.shard, NEW.ce_specversion IS NULL, NEW.ce_specversion IS NOT NULL);
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_queue_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number bigint;
BEGIN
    DELETE FROM public.outbox_queue q USING after a
    WHERE a.published_at > 'epoch' AND q.shard = a.shard AND q.seq = a.seq AND q.publication = a.publication;
    IF EXISTS (SELECT FROM after a JOIN before b USING (id) WHERE a.published_at IS NULL AND a.publication > b.publication) THEN
        UPDATE public.outbox_mode SET requeues = requeues + 1 RETURNING requeues INTO number;
        DELETE FROM public.outbox_queue q USING after a JOIN before b USING (id)
        WHERE a.published_at IS NULL AND a.publication > b.publication AND q.shard = a.shard AND q.seq = a.seq;
        INSERT INTO public.outbox_queue (seq, publication, id, shard, raw, captured)
        SELECT a.seq, number, id, a.shard, a.ce_specversion IS NULL, false FROM after a JOIN before b USING (id)
        WHERE a.published_at IS NULL AND a.publication > b.publication;
    END IF;
    RETURN NULL;
END $$;

-- A relay of the release before reads outbox alone, so it must not lead: it would publish a row
-- before an earlier one of its key that only the queue shows as waiting. It stands by, while
-- a relay that reads the queue runs, or may soon.
CREATE FUNCTION outbox_lease_refused() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.outbox_relay WHERE queue AND expires_at > clock_timestamp() - interval '1 minute')
        AND clock_timestamp() > (SELECT queue_since + interval '1 minute' FROM public.outbox_mode) THEN
        RAISE EXCEPTION 'the outbox of this database belongs to a later release, whose relays do not run: start the later release again, or migrate the outbox down to version 3 while no process runs'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $$;

-- At its start a process of the release before registers its own condition for keeping a day,
-- which does not know the queue.
CREATE FUNCTION outbox_keep_if_refused() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION outbox_queue_appended, outbox_queue_updated, outbox_lease_refused, outbox_keep_if_refused FROM PUBLIC;

CREATE TRIGGER outbox_queue_appended AFTER INSERT ON outbox FOR EACH ROW
    WHEN (NEW.published_at IS NULL) EXECUTE FUNCTION outbox_queue_appended();
CREATE TRIGGER outbox_queue_updated AFTER UPDATE ON outbox REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_queue_updated();
CREATE TRIGGER outbox_lease_refused BEFORE UPDATE ON outbox_lease FOR EACH ROW
    WHEN (NEW.holder IS NOT NULL AND NEW.expires_at > OLD.expires_at AND NEW.claims = OLD.claims) EXECUTE FUNCTION outbox_lease_refused();
CREATE TRIGGER outbox_keep_if_refused BEFORE UPDATE ON partitioned_tables FOR EACH ROW
    WHEN (NEW.name = 'outbox' AND NEW.keep_if = 'published_at IS NULL') EXECUTE FUNCTION outbox_keep_if_refused();

-- +goose Down
SET LOCAL lock_timeout = '5s';
LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE outbox_relay, outbox_lease, outbox_mode IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $do$ BEGIN
    IF EXISTS (SELECT FROM outbox_relay WHERE queue AND expires_at > clock_timestamp()) THEN
        RAISE EXCEPTION 'relays that read the queue run: stop every process of this release first'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $do$;
-- +goose StatementEnd
DROP TRIGGER outbox_keep_if_refused ON partitioned_tables;
DROP TRIGGER outbox_lease_refused ON outbox_lease;
DROP TRIGGER outbox_queue_updated ON outbox;
DROP TRIGGER outbox_queue_appended ON outbox;
DROP FUNCTION outbox_keep_if_refused, outbox_lease_refused, outbox_queue_updated, outbox_queue_appended;
-- 'epoch' stays in published rows. It reads as published.
UPDATE outbox o SET published_at = h.published_at FROM outbox_history h
WHERE o.published_at IS NULL AND h.id = o.id AND h.published_at IS NOT NULL;
UPDATE outbox o SET published_at = NULL, publication = o.publication + (q.publication >= 2147483648)::integer
FROM outbox_queue q WHERE q.id = o.id;
DROP VIEW outbox_history;
DROP TABLE outbox_incarnation, outbox_acknowledgement, outbox_queue;
DROP INDEX outbox_lease_held;
ALTER TABLE outbox_relay DROP COLUMN queue;
ALTER TABLE outbox_lease DROP COLUMN claims;
ALTER TABLE outbox_mode DROP COLUMN requeues, DROP COLUMN queue_since;
