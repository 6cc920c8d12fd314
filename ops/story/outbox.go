package story

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
)

// outboxWithin bounds the queries of one service's database. Its unpublished rows are found by the
// queue, the published ones by reading the days since the order was placed.
const outboxWithin = 10 * time.Second

// outboxRows selects an outbox's rows of a key. Raw rows are retries and dead letters, not events.
const outboxRows = `SELECT id::text, topic, event_type, aggregate_id, payload, ce_source, ce_time, ce_aggregateversion,
		coalesce(ce_correlationid, ''), coalesce(ce_causationid, ''), coalesce(traceparent, ''), ce_sagastyle, created_at,
		NOT EXISTS (SELECT FROM outbox_queue q WHERE q.shard = o.shard AND q.seq = o.seq)
	FROM outbox o WHERE key = $1 AND ce_specversion IS NOT NULL AND `

// which selects rows of an order: a condition, and its arguments from $2 on.
type which struct {
	condition string
	args      []any
}

// unpublished selects the rows that are on no topic yet.
func unpublished() which { return which{condition: `id IN (SELECT id FROM outbox_queue)`} }

// kept selects published rows too: all rows written since a time that the outbox still has.
func kept(since time.Time) which { return which{`id >= $2`, []any{earliest(since).String()}} }

// named selects the rows of some events.
func named(ids []string) which { return which{`id = ANY($2::text[]::uuid[])`, []any{ids}} }

// outboxes reads rows of the order in all databases.
func outboxes(ctx context.Context, dsn map[string]string, key string, rows which) (found []record, failed []error) {
	type answer struct {
		rows []record
		err  error
	}
	answers := map[string]chan answer{}
	for service := range dsn {
		done := make(chan answer, 1)
		answers[service] = done
		go func() {
			rows, err := rowsOf(ctx, service, dsn[service], key, rows)
			done <- answer{rows, err}
		}()
	}
	for _, service := range slices.Sorted(maps.Keys(answers)) {
		a := <-answers[service]
		found = append(found, a.rows...)
		if a.err != nil {
			failed = append(failed, fmt.Errorf("%s's outbox cannot be read: %w", service, a.err))
		}
	}
	return found, failed
}

func rowsOf(ctx context.Context, service, dsn, key string, rows which) ([]record, error) {
	ctx, cancel := context.WithTimeout(ctx, outboxWithin)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	found, err := c.Query(ctx, outboxRows+rows.condition+` ORDER BY seq`, append([]any{[]byte(key)}, rows.args...)...)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	return pgx.CollectRows(found, func(row pgx.CollectableRow) (record, error) {
		r := record{outbox: service}
		var id, eventType, subject, source, at, correlation, causation, trace, style string
		var version int64
		err := row.Scan(&id, &r.topic, &eventType, &subject, &r.value, &source, &at, &version, &correlation, &causation, &trace, &style, &r.time, &r.published)
		for _, h := range []struct{ name, value string }{
			{event.HeaderID, id}, {event.HeaderType, eventType}, {event.HeaderSubject, subject},
			{event.HeaderSource, source}, {event.HeaderTime, at}, {event.HeaderAggregateVersion, strconv.FormatInt(version, 10)},
			{event.HeaderCorrelationID, correlation}, {event.HeaderCausationID, causation}, {event.HeaderTraceParent, trace}, {event.HeaderStyle, style},
		} {
			if h.value != "" {
				r.headers = append(r.headers, event.Header{Key: h.name, Value: []byte(h.value)})
			}
		}
		return r, err
	})
}

// earliest returns the smallest UUIDv7 of a time.
func earliest(at time.Time) uuid.UUID {
	ms := uint64(max(at.UnixMilli(), 0))
	id := uuid.UUID{6: 0x70, 8: 0x80}
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// timeOf returns the time in a UUIDv7, or the zero time for any other id.
func timeOf(id uuid.UUID) time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}
