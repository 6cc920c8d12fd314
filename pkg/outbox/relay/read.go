package relay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/outbox/internal/queue"
	"eventshop.example/pkg/postgres"
)

// readRows finds the next rows to send: the entries of the queue from the bound on, with their rows.
// The bound is no cursor: sequence numbers are drawn before the commit, so a lower one may become
// visible later, and a cursor would skip it for ever. See [bound] for what it is. When entries with
// old numbers have appeared since it was computed (outbox_mode.requeues), the read begins at the
// first entry.
//
// The query excludes the rows that this relay has in memory. NOT IN is deliberate: it becomes a
// hashed filter, which keeps the order of the index, so LIMIT can end the scan. An anti-join would
// sort the whole backlog. What is deferred is excluded outside of the ordered subquery, so that the
// filter is not repeated for each partition. Because of the leases, a relay that lost its shards
// reads nothing. The running sum bounds memory; the query always returns the first row.
const readRows = readFrom + `TRUE` + readOn + `'polling'` + readTo

// readRest is the query of mode debezium: it reads raw rows and republished rows. See
// [capture.Mode].
const readRest = readFrom + `NOT q.captured` + readOn + `'debezium'` + readTo

const readFrom = `
SELECT seq, publication, id, shard, topic, key, payload, created_at, size,
	event_type, aggregate_id, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid,
	content_type, traceparent, tracestate, ce_sagastyle, headers
FROM (
	SELECT r.*, sum(r.size) OVER (ORDER BY r.seq) - r.size AS before
	FROM unnest($1::smallint[], $2::bigint[]) AS led (shard, bound) CROSS JOIN LATERAL (
		SELECT * FROM (
			SELECT q.seq, q.publication, o.id, o.shard, o.topic, o.key, o.payload, o.created_at,
				o.event_type, o.aggregate_id, o.ce_source, o.ce_time, o.ce_aggregateversion, o.ce_correlationid, o.ce_causationid,
				o.content_type, o.traceparent, o.tracestate, o.ce_sagastyle, o.headers,
				coalesce(octet_length(o.payload), 0) + coalesce(octet_length(o.key), 0)
					+ coalesce(pg_column_size(o.headers), 0) AS size
			FROM outbox_queue q JOIN outbox o ON o.id = q.id
			WHERE q.shard = led.shard AND q.seq >= CASE WHEN ` + queue.Holds + ` THEN led.bound ELSE 0 END
				AND q.seq NOT IN (SELECT unnest($5::bigint[])) AND `

const readOn = `
			ORDER BY q.seq OFFSET 0
		) o
		WHERE o.topic <> ALL ($6::text[])
			AND (o.key IS NULL OR (o.topic, o.key) NOT IN (SELECT t, k FROM unnest($7::text[], $8::bytea[]) AS held (t, k)))
		LIMIT $9
	) r
	WHERE led.shard = ANY (ARRAY(SELECT shard FROM outbox_lease WHERE holder = $11 AND expires_at > statement_timestamp()))
		AND (SELECT mode FROM outbox_mode) = `

const readTo = `
) w
WHERE before < $10
ORDER BY seq`

// readLoop reads and sends until ctx is done.
func (r *Relay) readLoop(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		r.at(beforeRead)
		v := r.flight.view(r.clock(), r.cfg.MaxInFlight)
		// This follows the view: when the view has shards to read, the end of a hold is recorded
		// already.
		r.producers.reopenForRecreated()
		r.producers.replaceRefused()
		room := r.cfg.MaxInFlight - len(v.inFlight)
		roomBytes := r.cfg.MaxInFlightBytes - v.bytes
		// With less room than half a batch, reads would be many and small.
		if room < (r.cfg.BatchSize+1)/2 || roomBytes <= 0 || len(v.shards) == 0 {
			r.wait(ctx, v.nextDue, nil)
			continue
		}
		more, err := r.readOnce(ctx, v, min(room, r.cfg.BatchSize), roomBytes)
		if ctx.Err() != nil {
			return
		}
		r.trouble("read", err)
		if err != nil {
			sleep(ctx, min(pause(failures), 5*time.Second))
			failures++
			continue
		}
		failures = 0
		if !more {
			r.wait(ctx, v.nextDue, r.wake)
		}
	}
}

// wait returns on a wake-up, when the first deferral ends, or when it is time to poll. With a nil
// wake channel it returns as soon as there is room in memory.
func (r *Relay) wait(ctx context.Context, due time.Time, wake <-chan struct{}) {
	d := r.cfg.PollEvery
	if !due.IsZero() {
		d = min(d, max(0, due.Sub(r.clock())))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	news := r.flight.room
	if wake != nil {
		news = r.flight.reread
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	case <-news:
	}
}

// readOnce reads one batch and sends it. more reports that there may be further rows to read
// immediately.
func (r *Relay) readOnce(ctx context.Context, v view, limit, limitBytes int) (more bool, err error) {
	perShard := (limit + len(v.shards) - 1) / len(v.shards)
	records, err := r.table.read(ctx, v, perShard, limitBytes)
	if err != nil {
		return false, err
	}
	size := 0
	counts := map[int16]int{}
	for _, rec := range records {
		size += rec.size
		counts[rec.shard]++
		more = more || counts[rec.shard] >= perShard
	}
	r.at(beforeAdmit)
	send, ok := r.flight.admit(records, v.generation, r.clock())
	if !ok {
		return true, nil
	}
	r.producers.recreated.noteRead(records)
	for _, rec := range send {
		r.send(rec)
	}
	return more || size >= limitBytes, nil
}

// read returns up to perShard rows of each shard of a view, in the order of their sequence numbers.
// It exceeds limitBytes by at most one row.
func (t *table) read(ctx context.Context, v view, perShard, limitBytes int) (records []*record, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	mode := *t.mode.Load()
	query := readRows
	if mode == capture.Debezium {
		query = readRest
	}
	from := v.bound.of(v.shards, mode)
	var b pgx.Batch // one pipeline without BEGIN is one transaction
	b.Queue(queue.InOrder)
	b.Queue(query, from.Shards, from.Least, from.Requeues, from.Incarnation,
		slices.Concat(v.inFlight, v.deferredRows), v.topics, v.keyTopics, v.keys, perShard, limitBytes, t.id).
		Query(func(rows pgx.Rows) error {
			records, err = pgx.AppendRows(make([]*record, 0, 16), rows, scanRecord)
			return err
		})
	if err := t.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("read outbox: %w", postgres.Classify(err))
	}
	return records, nil
}
