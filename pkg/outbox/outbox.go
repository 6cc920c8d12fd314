package outbox

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/telemetry"
)

const (
	// MaxPayload is the largest encoded event in bytes that Append accepts. Kafka refuses batches
	// above 1,048,588 bytes by default; the difference leaves room for headers, key and batch
	// overhead.
	MaxPayload = 900 << 10

	// MaxRaw is the largest sum of payload, key and headers in bytes that AppendRaw accepts. It is
	// above what a producer with default settings can send (1,000,012 bytes), so every such record
	// still fits after the headers of a dead letter are added. It is below the broker's limit.
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
		Partitioned: []postgres.Partitioned{{Table: "outbox", KeepIf: queuedBefore}},
		Grants: []postgres.Grant{
			// Processes of the release before still update published_at and publication.
			{Table: "outbox", App: "SELECT, INSERT, UPDATE (published_at, publication)", CDC: "SELECT"},
			{Table: "outbox_seq_seq", App: "SELECT"},
			{Table: "outbox_queue", App: "SELECT, INSERT, DELETE"},
			{Table: "outbox_acknowledgement", App: "SELECT, INSERT, DELETE"},
			{Table: "outbox_incarnation", App: "SELECT, INSERT"},
			{Table: "outbox_history", App: "SELECT"},
			{Table: "outbox_lease", App: "SELECT, UPDATE"},
			{Table: "outbox_relay", App: "SELECT, INSERT, UPDATE, DELETE"},
			{Table: "outbox_hold", App: "SELECT, INSERT, UPDATE, DELETE"},
			{Table: "outbox_mode", App: "SELECT, UPDATE", CDC: "SELECT"},
		},
	}
}

// Outbox appends events to the outbox table of one database and wakes the relay of the same
// process. It is created once at start-up and is safe for concurrent use.
type Outbox struct {
	cfg  Config
	wake chan struct{}
}

// Config configures an [Outbox]. Append needs every field except CanEncode; AppendRaw needs none.
type Config struct {
	// Source becomes ce_source and names the service as a URI reference, for example
	// "/lockers/parcel".
	Source string
	// Types are the event types that can be appended. They determine the topic of each event.
	Types event.Catalogue
	// Encode returns the bytes of an event that are published, for example schema.Codec.Encode. It
	// runs within a transaction and must not wait long. Append returns its error with the same
	// kind.
	Encode func(ctx context.Context, e event.Event) ([]byte, error)
	// CanEncode returns nil when events of all the types can be encoded, for example
	// schema.Codec.CanEncode. When it is nil, they always can.
	CanEncode func(ctx context.Context, types ...event.Type) error
}

// New returns the outbox of a service.
func New(cfg Config) *Outbox { return &Outbox{cfg: cfg, wake: make(chan struct{}, 1)} }

// Cause describes what led to an event: the ids that connect the events of a saga, and the W3C
// trace context. With an empty CorrelationID the event starts its own conversation. With an empty
// CausationID the event is its own cause. Without a valid TraceParent the event starts a trace. An
// event therefore always has all headers. Without a Style the event is choreographed.
type Cause struct {
	Style                                               event.Style // of the saga
	CorrelationID, CausationID, TraceParent, TraceState string
}

// Entry is one event to publish.
type Entry struct {
	// ID is the event's id. The zero value is replaced by a fresh UUIDv7. A caller that stores the
	// id beside what it decided sets it; it must be a UUIDv7 that no other event has.
	ID          uuid.UUID
	Event       event.Event
	AggregateID string // ce_subject; "" means Event.AggregateKey()
	Version     int64  // ce_aggregateversion: version of the aggregate after this event
	Cause       Cause
	Topic       string // "" means the topic of the event's type in the catalogue
}

// Raw is one record to publish with exactly these bytes and headers: a dead letter, or a record
// that operators resubmit.
type Raw struct {
	ID      uuid.UUID // fresh UUIDv7; identifies the row, is not sent as a header
	Topic   string
	Key     []byte // nil is a record without key
	Payload []byte // nil is a tombstone
	Headers []event.Header
}

// perHeader is the size of a header in a record batch besides its own bytes: two lengths of at most
// 5 bytes each.
const perHeader = 10

// Size returns what counts against [MaxRaw], in bytes: payload, key and headers, and what Kafka's
// record format adds for each header.
func (r Raw) Size() int {
	size := len(r.Payload) + len(r.Key)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + perHeader
	}
	return size
}

// CanAppend returns nil when events of all the types can be appended even if the schema registry
// becomes unavailable; see [Config]. Callers check it, outside of transactions, before a call to an
// external system whose outcome only an event can report.
func (o *Outbox) CanAppend(ctx context.Context, types ...event.Type) error {
	if o.cfg.CanEncode == nil {
		return nil
	}
	return o.cfg.CanEncode(ctx, types...)
}

// Append writes the events to the outbox within tx, in the given order, with one statement, which
// runs [postgres.Later]. Call [Outbox.Wake] after the commit. Errors: [errs.Hopeless] for an event that is larger than
// [MaxPayload], not in the catalogue, or whose envelope no consumer would accept (version below 1,
// control characters). [errs.Transient], within half a second, while its schema is not registered,
// or when the database fails. Other errors of [Config].Encode keep their kind.
func (o *Outbox) Append(ctx context.Context, tx pgx.Tx, entries ...Entry) error {
	rows, err := o.Prepare(ctx, entries...)
	if err != nil {
		return err
	}
	return Write(ctx, tx, rows...)
}

func (o *Outbox) row(ctx context.Context, e Entry) (row, error) {
	typ, ok := o.cfg.Types.Lookup(e.Event.EventType())
	if !ok {
		return row{}, errs.New(errs.Hopeless, "event type %q is not in the catalogue", e.Event.EventType())
	}
	payload, err := o.cfg.Encode(ctx, e.Event)
	if err != nil {
		return row{}, err
	}
	if len(payload) > MaxPayload {
		return row{}, errs.New(errs.Hopeless, "encoded event of %d bytes exceeds %d bytes", len(payload), MaxPayload)
	}
	id := e.ID
	if id == uuid.Nil {
		if id, err = uuid.NewV7(); err != nil {
			return row{}, fmt.Errorf("draw event id: %w", err)
		}
	}
	r := row{
		topic:         typ.Topic,
		key:           []byte(e.Event.AggregateKey()),
		payload:       payload,
		aggregateType: typ.AggregateType,
		envelope: &event.Envelope{
			ID:               id,
			Source:           o.cfg.Source,
			Type:             typ.Name,
			Subject:          e.AggregateID,
			AggregateVersion: e.Version,
			Time:             time.Now().UTC().Truncate(time.Microsecond),
			Style:            cmp.Or(e.Cause.Style, event.Choreographed),
			CorrelationID:    e.Cause.CorrelationID,
			CausationID:      e.Cause.CausationID,
			ContentType:      event.ContentTypeAvro,
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
	// No column is NULL: Debezium turns a NULL into a header without a value.
	if r.envelope.CorrelationID == "" {
		r.envelope.CorrelationID = id.String()
	}
	if r.envelope.CausationID == "" {
		r.envelope.CausationID = id.String()
	}
	if !telemetry.ValidTraceParent(r.envelope.TraceParent) {
		r.envelope.TraceParent, r.envelope.TraceState = telemetry.NewTraceParent(), ""
	}
	// An event that no consumer would accept must not be published: it would become a dead letter
	// in every group, long after the cause.
	if _, err := event.ParseEnvelope(r.envelope.Headers()); err != nil {
		return row{}, err
	}
	return r, nil
}

// AppendRaw writes records to the outbox within tx, in the given order, with one statement, which
// runs [postgres.Later]. Errors: [errs.Hopeless] for a record that is larger than [MaxRaw] or has no id or topic; [errs.Transient]
// when the database fails.
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

// Wake signals the relay of this process that a transaction with appended events has
// committed. It never blocks, and calls between two reads count as one. A relay in another
// process finds the rows by polling.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default: // a wake-up is pending already; the read that it causes sees these rows too
	}
}

// Wakes returns the channel that [Outbox.Wake] signals. The one relay of the process receives
// from it.
func (o *Outbox) Wakes() <-chan struct{} { return o.wake }
