package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/postgres"
)

// Shards is the number of leases, and so of relays that can publish from one table at the same
// time; further relays stand by. It is a constant of the table (the migration inserts as many
// leases) and not a setting. With another number a key would move to another leader while its
// earlier rows still wait for the former one.
const Shards = 4

// row is what Append and AppendRaw write.
type row struct {
	id            uuid.UUID
	topic         string
	key, payload  []byte
	aggregateType string
	envelope      *event.Envelope // nil for raw records
	headers       []event.Header  // of raw records
}

// ShardOf assigns a record's key to a shard. Records without a key have no order among each other;
// they share a shard only for simplicity.
func ShardOf(key []byte) int16 {
	h := fnv.New32a()
	h.Write(key)
	return int16(h.Sum32() % Shards)
}

// insertRows draws the sequence numbers in the order of the arrays: the identity column is evaluated
// on top of the sorted subquery. The same statement adds an entry to the queue for each row. With
// 'epoch' published_at means that the queue knows, see the migrations.
const insertRows = `
WITH appended AS (
	INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload,
		ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid,
		content_type, traceparent, tracestate, ce_sagastyle, headers, published_at)
	SELECT id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload,
		ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid,
		content_type, traceparent, tracestate, ce_sagastyle, headers::jsonb, 'epoch'
	FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[],
		$9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[],
		$15::text[], $16::text[], $17::text[], $18::text[], $19::text[]) WITH ORDINALITY
		AS r (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload,
		ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid,
		content_type, traceparent, tracestate, ce_sagastyle, headers, position)
	ORDER BY position
	RETURNING seq, id, shard, ce_specversion IS NULL AS raw
)
INSERT INTO outbox_queue (seq, id, shard, raw, captured) SELECT seq, id, shard, raw, NOT raw FROM appended`

func insert(ctx context.Context, tx pgx.Tx, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	n := len(rows)
	ids, shard, version := make([]pgtype.UUID, n), make([]int16, n), make([]*int64, n)
	aggregateType, aggregateID, eventType, topic := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	key, payload := make([][]byte, n), make([][]byte, n)
	spec, source, at, correlation, causation := make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
	content, parent, state, extra := make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
	style := make([]string, n)
	columns := map[string][]*string{
		event.HeaderSpecVersion: spec, event.HeaderSource: source, event.HeaderTime: at,
		event.HeaderCorrelationID: correlation, event.HeaderCausationID: causation,
		event.HeaderContentType: content, event.HeaderTraceParent: parent, event.HeaderTraceState: state,
	}
	for i, r := range rows {
		ids[i], shard[i], topic[i], key[i], payload[i] = pgtype.UUID{Bytes: r.id, Valid: true}, ShardOf(r.key), r.topic, r.key, r.payload
		aggregateType[i], style[i] = r.aggregateType, string(event.Choreographed) // a raw row's headers say it
		if e := r.envelope; e != nil {
			aggregateID[i], eventType[i], version[i], style[i] = e.Subject, e.Type, &e.AggregateVersion, string(e.Style)
			// The columns take their text from the headers, so that every relay that sends the
			// columns sends the same bytes.
			for _, header := range e.Headers() {
				if column := columns[header.Key]; column != nil {
					v := string(header.Value)
					column[i] = &v
				}
			}
		}
		if len(r.headers) > 0 {
			text, err := json.Marshal(r.headers)
			if err != nil {
				return fmt.Errorf("encode headers: %w", err)
			}
			s := string(text)
			extra[i] = &s
		}
	}
	failed := func(err error) error { return fmt.Errorf("insert %d outbox rows: %w", n, postgres.Classify(err)) }
	_, err := postgres.Later(tx, failed).Exec(ctx, insertRows, ids, shard, aggregateType, aggregateID, eventType, topic, key, payload,
		spec, source, at, version, correlation, causation, content, parent, state, style, extra)
	return err
}
