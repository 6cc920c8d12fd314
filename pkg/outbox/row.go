package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
)

// shards is the number of leases, and so of relays that can publish from one
// table at the same time; further ones stand by. It is a constant of the table
// and not a setting: with another number a key would belong to another leader
// while its earlier rows still wait for the former one.
const shards = 4

// row is what Append and AppendRaw write.
type row struct {
	id            uuid.UUID
	topic         string
	key, payload  []byte
	aggregateType string
	envelope      *events.Envelope // nil for raw records
	headers       []events.Header  // of raw records
}

// shardOf assigns a key to a shard. Records without a key have no order among
// each other and share a shard only for simplicity.
func shardOf(key []byte) int16 {
	h := fnv.New32a()
	h.Write(key)
	return int16(h.Sum32() % shards)
}

// insertRows draws the sequence numbers in the order of the arrays: the
// identity column is evaluated on top of the sorted subquery.
const insertRows = `
INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload,
	ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid,
	content_type, traceparent, tracestate, headers)
SELECT id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload,
	ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid,
	content_type, traceparent, tracestate, headers::jsonb
FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[],
	$9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[],
	$15::text[], $16::text[], $17::text[], $18::text[]) WITH ORDINALITY
	AS r (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload,
	ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid,
	content_type, traceparent, tracestate, headers, position)
ORDER BY position`

func insert(ctx context.Context, tx pgx.Tx, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	n := len(rows)
	ids, shard, version := make([]uuid.UUID, n), make([]int16, n), make([]*int64, n)
	aggregateType, aggregateID, eventType, topic := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	key, payload := make([][]byte, n), make([][]byte, n)
	spec, source, at, correlation, causation := make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
	content, parent, state, extra := make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
	for i, r := range rows {
		ids[i], shard[i], topic[i], key[i], payload[i] = r.id, shardOf(r.key), r.topic, r.key, r.payload
		aggregateType[i] = r.aggregateType
		if e := r.envelope; e != nil {
			// The columns take their text from the headers themselves, so that
			// whoever sends the columns sends the same bytes.
			h := map[string]*string{}
			for _, header := range e.Headers() {
				v := string(header.Value)
				h[header.Key] = &v
			}
			aggregateID[i], eventType[i], version[i] = e.Subject, e.Type, &e.AggregateVersion
			spec[i], source[i], at[i] = h["ce_specversion"], h["ce_source"], h["ce_time"]
			correlation[i], causation[i] = h["ce_correlationid"], h["ce_causationid"]
			content[i], parent[i], state[i] = h["content-type"], h["traceparent"], h["tracestate"]
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
	_, err := tx.Exec(ctx, insertRows, ids, shard, aggregateType, aggregateID, eventType, topic, key, payload,
		spec, source, at, version, correlation, causation, content, parent, state, extra)
	if err != nil {
		return fmt.Errorf("insert %d outbox rows: %w", n, postgres.Classify(err))
	}
	return nil
}
