package plant

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
)

// Emitted is a record that a service publishes by mistake: one that a bug or an earlier release
// would write.
type Emitted struct {
	Topic      string
	Key, Value []byte
	Envelope   event.Envelope
}

// Emit inserts a record into a service's outbox, whose relay publishes it like any other. Its
// position among the service's own records of the same key is undefined: records that must come
// before it must have been published first.
func Emit(ctx context.Context, dsn string, e Emitted) error {
	header := map[string]*string{}
	for _, h := range e.Envelope.Headers() {
		value := string(h.Value)
		header[h.Key] = &value
	}
	err := run(ctx, dsn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload,
				ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid, content_type, traceparent, tracestate, ce_sagastyle)
			VALUES ($1, 0, 'planted', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
			e.Envelope.ID, e.Envelope.Subject, e.Envelope.Type, e.Topic, e.Key, e.Value,
			header[event.HeaderSpecVersion], header[event.HeaderSource], header[event.HeaderTime], e.Envelope.AggregateVersion,
			header[event.HeaderCorrelationID], header[event.HeaderCausationID], header[event.HeaderContentType],
			header[event.HeaderTraceParent], header[event.HeaderTraceState], header[event.HeaderStyle])
		return err
	})
	if err != nil {
		return fmt.Errorf("put a %s into the outbox: %w", e.Envelope.Type, err)
	}
	return nil
}

// AddHeader makes every event that the service publishes from now on carry one more header behind
// the others, as an agent would add it, even if it has a header of that name. remove and the errors
// are those of [Refuse].
func AddHeader(ctx context.Context, dsn, key, value string) (remove func(ctx context.Context) error, err error) {
	f := Fault{Table: "outbox", Spoils: "headers"}
	header := fmt.Sprintf("jsonb_build_array(jsonb_build_object('key', %s::text, 'value', %s::text))",
		literal(key), literal(base64.StdEncoding.EncodeToString([]byte(value))))
	return plant(ctx, dsn, f, "NEW.ce_specversion IS NOT NULL", "NEW.headers := coalesce(NEW.headers, '[]'::jsonb) || "+header+";")
}
