package relay

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
)

// The statements of the release before this one, whose processes run beside new ones during an
// upgrade. They are literal: that release does not change any more.
const (
	formerInsert = `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload,
		ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid, content_type, traceparent, tracestate, headers)
		VALUES ($1, $2, 'Sample', $3, 'Happened', 'sample.events', $4, $5, '1.0', '/test', '2026-03-01T12:00:00.000000Z', $6, 'c', 'c', 'application/avro', '', '', NULL)`

	formerClaim = `
WITH alive AS (
	INSERT INTO outbox_relay (id, expires_at) VALUES ($1, clock_timestamp() + $2::interval)
	ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
), dead AS (
	DELETE FROM outbox_relay WHERE id <> $1 AND expires_at < clock_timestamp() - interval '1 minute'
), share AS (
	SELECT ceil((SELECT count(*) FROM outbox_lease)::numeric
		/ (1 + (SELECT count(*) FROM outbox_relay WHERE id <> $1 AND expires_at > clock_timestamp())))::bigint AS n
), held AS (
	SELECT string_agg(name || ': ' || reason, '; ' ORDER BY since) AS reason FROM outbox_hold WHERE expires_at > clock_timestamp()
), wanted AS (
	SELECT shard FROM outbox_lease
	WHERE holder = $1 OR (holder IS NULL OR expires_at <= clock_timestamp()) AND (SELECT reason FROM held) IS NULL
	ORDER BY holder = $1 DESC NULLS LAST, shard
	LIMIT (SELECT CASE WHEN reason IS NULL THEN (SELECT n FROM share) END FROM held)
	FOR UPDATE SKIP LOCKED
), claimed AS (
	UPDATE outbox_lease l SET holder = $1, expires_at = clock_timestamp() + $2::interval
	FROM wanted w WHERE l.shard = w.shard
	RETURNING l.shard
)
SELECT coalesce(array_agg(shard), '{}'), coalesce((SELECT reason FROM held), ''), (SELECT mode FROM outbox_mode) FROM claimed`

	formerRead = `SELECT o.id, o.publication, coalesce(o.ce_aggregateversion, 0) FROM outbox_lease l CROSS JOIN LATERAL (
		SELECT * FROM outbox o WHERE o.shard = l.shard AND o.published_at IS NULL ORDER BY o.seq LIMIT 1000) o
		WHERE l.holder = $1 AND l.expires_at > clock_timestamp() ORDER BY o.seq`

	formerMark = `UPDATE outbox SET published_at = clock_timestamp()
		WHERE id = ANY ($1) AND id BETWEEN $2 AND $3 AND publication = $4 AND coalesce(published_at, '-infinity') = '-infinity'`

	formerHandBack = `UPDATE outbox_lease SET holder = NULL, expires_at = '-infinity' WHERE holder = $1`

	formerRepublish = `UPDATE outbox SET published_at = NULL, publication = publication + 1 WHERE created_at <= clock_timestamp()`

	formerRegister = `INSERT INTO partitioned_tables AS p (name, keep_if) VALUES ('outbox', 'published_at IS NULL')
		ON CONFLICT (name) DO UPDATE SET keep_if = excluded.keep_if WHERE p.keep_if <> excluded.keep_if`
)

// before is a process of the release before.
type before struct {
	*outboxtest.Table
	id uuid.UUID
}

func (f *fixture) before() before { return before{f.Table, uuid.New()} }

// insert appends one event of a key.
func (p before) insert(t testing.TB, key string, version int64) {
	t.Helper()
	p.Exec(t, formerInsert, uuid.Must(uuid.NewV7()), outbox.ShardOf([]byte(key)), key, []byte(key), fmt.Appendf(nil, "%s/%d", key, version), version)
}

func (p before) claim(t testing.TB) (shards []int16) {
	t.Helper()
	shards, err := p.tryClaim(t)
	if err != nil {
		t.Fatal(err)
	}
	return shards
}

func (p before) tryClaim(t testing.TB) (shards []int16, err error) {
	t.Helper()
	var held, mode string
	err = p.Pool.QueryRow(t.Context(), formerClaim, p.id, time.Hour).Scan(&shards, &held, &mode)
	return shards, err
}

// rows are what a read returned.
type rows struct {
	ids          []uuid.UUID
	publications []int32
	versions     []int64
}

func (p before) read(t testing.TB) (all rows) {
	t.Helper()
	found, err := p.Pool.Query(t.Context(), formerRead, p.id)
	if err != nil {
		t.Fatal(err)
	}
	var id uuid.UUID
	var publication int32
	var version int64
	_, err = pgx.ForEachRow(found, []any{&id, &publication, &version}, func() error {
		all.ids, all.publications, all.versions = append(all.ids, id), append(all.publications, publication), append(all.versions, version)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// mark marks rows of one publication.
func (p before) mark(t testing.TB, publication int32, ids ...uuid.UUID) {
	t.Helper()
	p.Exec(t, formerMark, ids, uuid.Nil, uuid.Max, publication)
}
