-- Day partitions come and go while a service runs, and the role it runs as may not
-- change tables. So they are made and dropped by functions of the tables' owner, which
-- do that for the tables registered here, by the rules written here, and nothing else.

-- +goose Up
CREATE TABLE partitioned_tables (
    name    text PRIMARY KEY,
    keep_if text NOT NULL -- a row that meets this SQL condition keeps its day; $1 is the instant before which days may go
);
COMMENT ON TABLE partitioned_tables IS 'Tables partitioned by the UTC day in a UUIDv7. Written by the migrations.';

-- The smallest UUID whose first 48 bits hold the day's beginning in Unix milliseconds.
CREATE FUNCTION day_partition_bound(day date) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT rpad(lpad(to_hex((day - date '1970-01-01')::bigint * 86400000), 12, '0'), 32, '0')::uuid $$;

-- +goose StatementBegin
CREATE FUNCTION create_day_partition(parent text, day date) RETURNS void LANGUAGE plpgsql STRICT SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    child  text := parent || '_p' || to_char(day, 'YYYYMMDD');
    reader regrole;
BEGIN
    IF NOT EXISTS (SELECT FROM public.partitioned_tables t WHERE t.name = parent) THEN
        RAISE EXCEPTION 'table % is not registered for day partitions', parent USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- No identity (the parent's serves all partitions), no indexes (attaching builds
    -- those of the parent).
    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING GENERATED
        INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION)', child, parent);
    -- Who reads the table may look at one day of it. Writing goes through the table.
    FOR reader IN
        SELECT DISTINCT a.grantee FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = format('public.%I', parent)::regclass AND a.privilege_type = 'SELECT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT SELECT ON public.%I TO %s', child, reader);
    END LOOP;
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        parent, child, public.day_partition_bound(day), public.day_partition_bound(day + 1));
END $$;

-- Returns NULL when the partition has gone, else why it stays.
CREATE FUNCTION drop_day_partition(parent text, day date, before timestamptz) RETURNS text LANGUAGE plpgsql STRICT SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    child     text := parent || '_p' || to_char(day, 'YYYYMMDD');
    oldest    timestamptz := least(before, clock_timestamp());
    condition text;
    found_one boolean;
BEGIN
    SELECT t.keep_if INTO condition FROM public.partitioned_tables t WHERE t.name = parent;
    IF condition IS NULL THEN
        RAISE EXCEPTION 'table % is not registered for day partitions', parent USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (day + 1)::timestamp AT TIME ZONE 'UTC' > oldest THEN
        RETURN 'its day is not over';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = format('public.%I', parent)::regclass
                   AND inhrelid = to_regclass(format('public.%I', child))) THEN
        RETURN 'it is no partition of the table';
    END IF;
    -- The parent first, as every query does; the other order could deadlock with one.
    -- Detaching without this lock (CONCURRENTLY) is not possible for a table with a
    -- default partition.
    EXECUTE format('LOCK TABLE ONLY public.%I IN ACCESS EXCLUSIVE MODE', parent);
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE %s)', child, condition) INTO found_one USING oldest;
    IF found_one THEN
        RETURN 'it holds rows where ' || condition;
    END IF;
    EXECUTE format('DROP TABLE public.%I', child);
    RETURN NULL;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION create_day_partition, drop_day_partition FROM PUBLIC;

-- +goose Down
DROP FUNCTION drop_day_partition, create_day_partition, day_partition_bound;
DROP TABLE partitioned_tables;
