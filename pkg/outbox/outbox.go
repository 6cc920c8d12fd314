package outbox

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/telemetry"
)

const (
	// MaxPayload is the largest encoded event in bytes that Append takes. Kafka
	// refuses batches above 1,048,588 bytes by default; the rest is left to
	// headers, key and batch overhead.
	MaxPayload = 900 << 10

	// MaxRaw is the largest sum of payload, key and headers in bytes that
	// AppendRaw takes. It is above what a producer with default settings can
	// send (1,000,012 bytes), so that every such record still fits when the
	// headers of a dead letter are added, and below the broker's limit.
	MaxRaw = 1_040_000
)

//go:embed migrations/*.sql
var migrations embed.FS

// Component returns the migrations of the outbox's tables.
func Component() postgres.Component {
	// fs.Sub fails on invalid paths only, and this one is a constant.
	sub, _ := fs.Sub(migrations, "migrations")
	return postgres.Component{
		Name: "outbox", FS: sub,
		// A row is unpublished for as long as the broker is away. No age makes it droppable.
		Partitioned: []postgres.Partitioned{{Table: "outbox", KeepIf: "published_at IS NULL"}},
		Grants: []postgres.Grant{
			{Table: "outbox", App: "SELECT, INSERT, UPDATE (published_at, publication)", CDC: "SELECT"},
			{Table: "outbox_lease", App: "SELECT, UPDATE"},
			{Table: "outbox_relay", App: "SELECT, INSERT, UPDATE, DELETE"},
			{Table: "outbox_hold", App: "SELECT, INSERT, UPDATE, DELETE"},
			{Table: "outbox_mode", App: "SELECT, UPDATE", CDC: "SELECT"},
		},
	}
}

// Outbox appends events to the outbox table of one service and wakes the relay
// of the same process. It is made once at start-up and is safe for concurrent
// use.
type Outbox struct {
	codec  *schema.Codec
	source string
	wake   chan struct{}
	relay  atomic.Pointer[Relay] // of this process, for Describe; nil without one
}

// New returns the outbox of a service. source becomes ce_source and names the
// service as a URI reference, for example "/eventshop/order".
func New(codec *schema.Codec, source string) *Outbox {
	return &Outbox{codec: codec, source: source, wake: make(chan struct{}, 1)}
}

// Cause says what led to an event: the ids that tie a saga together and the
// W3C trace context. An empty CorrelationID makes the event the start of its own
// conversation, an empty CausationID its own cause, and without a valid TraceParent it
// starts a trace: an event always has all headers.
type Cause struct {
	CorrelationID, CausationID, TraceParent, TraceState string
}

// Entry is one event to publish.
type Entry struct {
	Event       events.Event
	AggregateID string // ce_subject; "" means Event.AggregateKey()
	Version     int64  // ce_aggregateversion: version of the aggregate after this event
	Cause       Cause
	Topic       string // "" means the topic of the event's type in the catalogue
}

// Raw is one record to publish with exactly these bytes and headers: dead
// letters, and what operators resubmit.
type Raw struct {
	ID      uuid.UUID // fresh UUIDv7; identifies the row, is not sent as a header
	Topic   string
	Key     []byte // nil is a record without key
	Payload []byte // nil is a tombstone
	Headers []events.Header
}

// perHeader is what a header takes in a record batch beside its own bytes: two
// lengths of at most 5 bytes each.
const perHeader = 10

// Size is what counts against MaxRaw: payload, key and headers, in bytes, and what
// Kafka's record format adds for each header.
func (r Raw) Size() int {
	size := len(r.Payload) + len(r.Key)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + perHeader
	}
	return size
}

// CanAppend returns nil when events of all the types can be appended, whatever becomes of
// the registry; see schema.Codec.CanEncode. It is asked before a call to the outside world
// whose outcome only an event can tell, and outside of transactions.
func (o *Outbox) CanAppend(ctx context.Context, types ...events.Type) error {
	return o.codec.CanEncode(ctx, types...)
}

// Append writes the events to the outbox within tx, in the given order, with
// one statement. Call Wake after the commit. Errors: errs.Hopeless for an event
// that is larger than MaxPayload, not in the catalogue, or whose envelope no
// consumer would accept (version below 1, control characters); errs.Transient, within
// half a second, while its schema is not registered, or when the database fails.
func (o *Outbox) Append(ctx context.Context, tx pgx.Tx, entries ...Entry) error {
	rows := make([]row, 0, len(entries))
	for _, e := range entries {
		r, err := o.row(ctx, e)
		if err != nil {
			return fmt.Errorf("append %s to outbox: %w", e.Event.EventType(), err)
		}
		rows = append(rows, r)
	}
	return insert(ctx, tx, rows)
}

func (o *Outbox) row(ctx context.Context, e Entry) (row, error) {
	typ, ok := events.Lookup(e.Event.EventType())
	if !ok {
		return row{}, errs.New(errs.Hopeless, "event type %q is not in the catalogue", e.Event.EventType())
	}
	payload, err := o.codec.Encode(ctx, e.Event)
	if err != nil {
		return row{}, err
	}
	if len(payload) > MaxPayload {
		return row{}, errs.New(errs.Hopeless, "encoded event of %d bytes exceeds %d bytes", len(payload), MaxPayload)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return row{}, fmt.Errorf("draw event id: %w", err)
	}
	r := row{
		topic:         typ.Topic,
		key:           []byte(e.Event.AggregateKey()),
		payload:       payload,
		aggregateType: typ.AggregateType,
		envelope: &events.Envelope{
			ID:               id,
			Source:           o.source,
			Type:             typ.Name,
			Subject:          e.AggregateID,
			AggregateVersion: e.Version,
			Time:             time.Now().UTC().Truncate(time.Microsecond),
			CorrelationID:    e.Cause.CorrelationID,
			CausationID:      e.Cause.CausationID,
			ContentType:      events.ContentTypeAvro,
			TraceParent:      e.Cause.TraceParent,
			TraceState:       e.Cause.TraceState,
		},
		id: id,
	}
	if e.Topic != "" {
		r.topic = e.Topic
	}
	if r.envelope.Subject == "" {
		r.envelope.Subject = e.Event.AggregateKey()
	}
	// No column is NULL: Debezium makes a header without a value of one.
	if r.envelope.CorrelationID == "" {
		r.envelope.CorrelationID = id.String()
	}
	if r.envelope.CausationID == "" {
		r.envelope.CausationID = id.String()
	}
	if !telemetry.ValidTraceParent(r.envelope.TraceParent) {
		r.envelope.TraceParent, r.envelope.TraceState = telemetry.NewTraceParent(), ""
	}
	// What no consumer would accept must not be published: it would become a
	// dead letter in every group, long after the cause.
	if _, err := events.ParseEnvelope(r.envelope.Headers()); err != nil {
		return row{}, err
	}
	return r, nil
}

// AppendRaw writes records to the outbox within tx, in the given order, with
// one statement. Errors: errs.Hopeless for a record larger than MaxRaw or without
// id or topic; errs.Transient when the database fails.
func (o *Outbox) AppendRaw(ctx context.Context, tx pgx.Tx, raws ...Raw) error {
	rows := make([]row, 0, len(raws))
	for _, r := range raws {
		switch size := r.Size(); {
		case size > MaxRaw:
			return errs.New(errs.Hopeless, "append record for %s to outbox: %d bytes exceed %d bytes", r.Topic, size, MaxRaw)
		case r.Topic == "":
			return errs.New(errs.Hopeless, "append record to outbox: no topic")
		case r.ID == uuid.Nil:
			return errs.New(errs.Hopeless, "append record for %s to outbox: no id", r.Topic)
		}
		rows = append(rows, row{id: r.ID, topic: r.Topic, key: r.Key, payload: r.Payload, headers: r.Headers})
	}
	return insert(ctx, tx, rows)
}

// Wake tells the relay of this process that a transaction with appended events
// has committed. It never blocks, and calls between two reads count as one. A
// relay in another process finds the rows by polling.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default: // a wake-up is pending already; the read it causes sees these rows too
	}
}
