package schema

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
)

// Codec encodes and decodes events. A service creates one at start and uses it from all goroutines.
// It caches schema ids as it registers types and decodes records.
type Codec struct {
	types    event.Catalogue
	client   *Client
	lookups  *lookups
	metrics  *metrics
	patience time.Duration

	mu            sync.RWMutex
	registered    map[string]encoder       // by type name
	registrations map[string]*registration // the latest try of each type
	problems      map[string]error         // types that are not registered yet, with the reason
	levels        map[string]error         // types whose compatibility level could not be set, with the reason
	writers       map[int]*parsed          // by schema id
	decoders      map[decoding]resolution  // by writer and reader
	control       control                  // what the registry must have
}

// Config configures a [Codec].
type Config struct {
	Client     *Client
	Types      event.Catalogue       // types that Encode registers by itself; others are registered by Register
	WaitFor    []event.Type          // types that Ready waits for even before Register was called for them
	Grace      time.Duration         // for which an unknown schema id is looked up again; default DefaultGrace
	Patience   time.Duration         // for which Encode and Decode wait for a registry that works; default DefaultPatience
	Registerer prometheus.Registerer // nil: metrics are kept but not exported
}

// control is the newest schema that the registry is known to have. A registry that was restored
// from a backup lacks the newest schemas first.
type control struct {
	id   int
	text string
}

// encoder contains what encoding one type needs.
type encoder struct {
	id     int
	schema *parsed
	text   string // the schema as the type declares it
}

// decoding identifies one way of reading: a writer's schema into a type of this program.
type decoding struct {
	writerID int
	reader   string // the reader's schema
}

// New returns a codec with an empty cache.
func New(cfg Config) *Codec {
	if cfg.Patience <= 0 {
		cfg.Patience = DefaultPatience
	}
	m := newMetrics(cfg.Registerer)
	codec := &Codec{
		types:         cfg.Types,
		client:        cfg.Client,
		lookups:       newLookups(cfg.Client, cfg.Grace, cfg.Patience, m),
		metrics:       m,
		patience:      cfg.Patience,
		registered:    map[string]encoder{},
		registrations: map[string]*registration{},
		problems:      map[string]error{},
		levels:        map[string]error{},
		writers:       map[int]*parsed{},
		decoders:      map[decoding]resolution{},
	}
	codec.lookups.learn, codec.lookups.control = codec.learn, codec.newest
	m.watch(cfg.Registerer, codec)
	for _, t := range cfg.WaitFor {
		codec.problems[t.Name] = notRegistered(t)
	}
	return codec
}

// NewCodec is New with the defaults.
func NewCodec(c *Client, types event.Catalogue) *Codec {
	return New(Config{Client: c, Types: types})
}

// Types returns the event types that the codec registers by itself.
func (c *Codec) Types() event.Catalogue { return c.types }

// Encode returns the event in wire format, written with the schema of its type. A type that is not
// registered yet is registered in the background. Encode waits for that no longer than a healthy
// registry takes (see [Codec.CanEncode]), because its callers have transactions open.
//
// Errors: errs.Transient while the type is not registered, because the registry is down or because
// it refuses the schema; errs.Hopeless when the type is not known; errs.Invalid when the event
// contains something that no consumer accepts (a NUL or invalid UTF-8, a time outside the years 1
// to 9999).
func (c *Codec) Encode(ctx context.Context, e event.Event) ([]byte, error) {
	name := e.EventType()
	enc, err := c.encoder(ctx, name)
	if err != nil {
		return nil, err
	}
	if e.AvroSchema() != enc.text {
		return nil, errs.New(errs.Hopeless, "encode %s: %T is not the type registered under this name", name, e)
	}
	value, err := marshal(enc, e)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encode "+name)
	}
	if err := scan(enc.schema.root, value[prefixLen:], nil); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encode "+name)
	}
	return value, nil
}

// Decode returns the event in b as a pointer to the type's Go struct. Fields that the writer did
// not know get their defaults; fields that the reader does not know are dropped. An unknown schema is
// looked up in the background, once for all callers; Decode waits for it no longer than
// [Config].Patience.
//
// Errors: errs.Hopeless when b is not in wire format, its schema is another record's or cannot be
// resolved, or the body is not exactly one value of it. Also errs.Hopeless when the registry, while
// it has what it must have, has not known the schema for the grace period. errs.Transient, with a
// [Waiting] in its chain, while the schema is not known.
func (c *Codec) Decode(ctx context.Context, t event.Type, b []byte) (event.Event, error) {
	return c.decode(ctx, t, b, c.await)
}

// DecodeAtOnce is Decode for tools whose users wait for the result: it asks the registry directly,
// within the client's timeout, and trusts its answer that a schema does not exist.
func (c *Codec) DecodeAtOnce(ctx context.Context, t event.Type, b []byte) (event.Event, error) {
	return c.decode(ctx, t, b, c.writer)
}

func (c *Codec) decode(ctx context.Context, t event.Type, b []byte, find func(context.Context, int) (*parsed, error)) (event.Event, error) {
	id, body, err := unframe(b)
	if err != nil {
		return nil, errs.Wrap(errs.Hopeless, err, "decode "+t.Name)
	}
	writer, err := find(ctx, id)
	if err != nil {
		return nil, errs.Wrap(errs.KindOf(err), err, "decode "+t.Name)
	}
	dec, err := c.decoder(id, writer, t)
	if err != nil {
		return nil, errs.Wrap(errs.Hopeless, err, "decode "+t.Name)
	}
	if err := scan(writer.root, body, dec.texts); err != nil {
		return nil, errs.Wrap(errs.Hopeless, err, "decode "+t.Name)
	}
	event := t.New()
	if err := unmarshal(dec, body, event); err != nil {
		return nil, errs.Wrap(errs.Hopeless, err, "decode "+t.Name)
	}
	return event, nil
}

// DecodeJSON decodes a value by its writer's schema only, for tools that show records of any type.
// The result is a JSON object with the schema's field names, times in RFC 3339, bytes in base64.
// The subject is the fully-qualified name of the record. The errors are those of Decode.
func (c *Codec) DecodeJSON(ctx context.Context, b []byte) (object []byte, subject string, err error) {
	id, body, err := unframe(b)
	if err != nil {
		return nil, "", errs.Wrap(errs.Hopeless, err, "decode value")
	}
	writer, err := c.writer(ctx, id)
	if err != nil {
		return nil, "", errs.Wrap(errs.KindOf(err), err, "decode value")
	}
	subject = writer.root.typeName()
	if err := scan(writer.root, body, nil); err != nil {
		return nil, subject, errs.Wrap(errs.Hopeless, err, "decode "+subject)
	}
	object, err = shownValue(writer.root, body)
	if err != nil {
		return nil, subject, errs.Wrap(errs.Hopeless, err, "write "+subject+" as JSON")
	}
	return object, subject, nil
}

// writer returns the schema with an id, from the cache or the registry. Unknown ids are not cached:
// a registry's replica may receive a new schema later than consumers read a record of it.
func (c *Codec) writer(ctx context.Context, id int) (*parsed, error) {
	if s, ok := c.cached(id); ok {
		return s, nil
	}
	text, err := c.client.Schema(ctx, id)
	if err == nil {
		err = c.learn(id, text)
	}
	if kind := errs.KindOf(err); err != nil && kind != errs.Transient {
		return nil, errs.Wrap(errs.Hopeless, err, "find writer's schema")
	} else if err != nil {
		return nil, errs.Wrap(errs.Transient, err, "find writer's schema")
	}
	s, _ := c.cached(id)
	return s, nil
}

// await returns the schema with an id, from the cache or as soon as it has been looked up
// in the background.
func (c *Codec) await(ctx context.Context, id int) (*parsed, error) {
	if s, ok := c.cached(id); ok {
		return s, nil
	}
	if err := c.lookups.want(ctx, id); err != nil {
		return nil, err
	}
	s, _ := c.cached(id)
	return s, nil
}

func (c *Codec) cached(id int) (*parsed, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, ok := c.writers[id]
	return s, ok
}

// learn caches the schema with an id. The error is of kind errs.Invalid when text is no schema.
func (c *Codec) learn(id int, text string) error {
	s, err := parse(text)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "schema id "+itoa(id))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(id, text, s)
	return nil
}

// keep caches a schema that the registry has. The caller has locked mu.
func (c *Codec) keep(id int, text string, s *parsed) {
	c.writers[id] = s
	if id >= c.control.id {
		c.control = control{id, text}
	}
}

func (c *Codec) newest() (id int, text string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.control.id, c.control.text
}

// decoder returns the resolution of a writer's schema to a type.
func (c *Codec) decoder(id int, writer *parsed, t event.Type) (resolution, error) {
	key := decoding{id, t.Schema}
	c.mu.RLock()
	dec, ok := c.decoders[key]
	c.mu.RUnlock()
	if ok {
		return dec, nil
	}
	if name := writer.root.typeName(); name != t.Subject {
		return resolution{}, errs.New(errs.Hopeless, "schema id %d is of %s, not %s", id, name, t.Subject)
	}
	reader, err := parse(t.Schema)
	if err != nil {
		return resolution{}, err
	}
	dec, err = resolve(reader, writer)
	if err != nil {
		return resolution{}, errs.Wrap(errs.Hopeless, err, "resolve schema id "+itoa(id))
	}
	c.mu.Lock()
	c.decoders[key] = dec
	c.mu.Unlock()
	return dec, nil
}

// marshal returns the event in wire format.
func marshal(enc encoder, e event.Event) (value []byte, err error) {
	defer recoverInto(&err, "write Avro")
	return enc.schema.library.AppendEncode(frame(enc.id, nil), e)
}

func unmarshal(dec resolution, body []byte, into event.Event) (err error) {
	defer recoverInto(&err, "read Avro")
	rest, err := dec.library.Decode(body, into)
	if err == nil && len(rest) > 0 { // scan and library disagree
		err = fmt.Errorf("%d bytes after the value", len(rest))
	}
	return err
}

func itoa(n int) string { return strconv.Itoa(n) }
