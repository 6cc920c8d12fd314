package schema

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
)

// Codec encodes and decodes events. A service makes one at start and uses it from all
// goroutines; it learns schema ids as it registers types and meets records.
type Codec struct {
	client *Client

	mu         sync.RWMutex
	registered map[string]encoder      // by type name
	problems   map[string]error        // types to be registered that are not yet; why
	writers    map[int]*parsed         // by schema id
	decoders   map[decoding]resolution // by writer and reader
}

// encoder is what encoding one type takes.
type encoder struct {
	id     int
	schema *parsed
	text   string // the schema as the type states it
}

// decoding names one way of reading: a writer's schema into a type of this program.
type decoding struct {
	writerID int
	reader   string // the reader's schema
}

// NewCodec returns a codec that knows no schema yet. The types given are those that
// Ready waits for even before Register was called for them.
func NewCodec(c *Client, waitFor ...events.Type) *Codec {
	codec := &Codec{
		client:     c,
		registered: map[string]encoder{},
		problems:   map[string]error{},
		writers:    map[int]*parsed{},
		decoders:   map[decoding]resolution{},
	}
	for _, t := range waitFor {
		codec.problems[t.Name] = errs.New(errs.Transient, "schema %s is not registered yet", t.Subject)
	}
	return codec
}

// Encode returns the event in wire format, written with the schema of its type. A type
// that is not registered yet is registered first.
//
// Errors: errs.Transient when that fails because the registry is down, errs.Hopeless
// when the registry refuses the schema or the type is not known, errs.Invalid when the
// event holds something no consumer accepts (a NUL or invalid UTF-8, a time outside the
// years 1 to 9999).
func (c *Codec) Encode(ctx context.Context, e events.Event) ([]byte, error) {
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

// Decode returns the event in b as a pointer to the type's Go struct. Fields the writer
// did not know have their defaults, fields the reader does not know are dropped.
//
// Errors: errs.Hopeless when b is not in wire format, its schema is unknown to the
// registry, is another record's or cannot be resolved, or the body is not exactly one
// value of it; errs.Transient when the schema is not cached and the registry is down.
func (c *Codec) Decode(ctx context.Context, t events.Type, b []byte) (events.Event, error) {
	id, body, err := unframe(b)
	if err != nil {
		return nil, errs.Wrap(errs.Hopeless, err, "decode "+t.Name)
	}
	writer, err := c.writer(ctx, id)
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

// DecodeJSON decodes a value by its writer's schema alone, for tools that show records
// of any type: a JSON object with the schema's field names, times in RFC 3339, bytes in
// base64. The subject is the fully-qualified name of the record. Errors as of Decode.
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

// writer returns the schema with an id, from the cache or the registry. Unknown ids are
// not cached: a registry's replica may hear of a new schema later than its readers.
func (c *Codec) writer(ctx context.Context, id int) (*parsed, error) {
	c.mu.RLock()
	s, ok := c.writers[id]
	c.mu.RUnlock()
	if ok {
		return s, nil
	}
	text, err := c.client.Schema(ctx, id)
	if kind := errs.KindOf(err); err != nil && kind != errs.Transient {
		return nil, errs.Wrap(errs.Hopeless, err, "find writer's schema")
	} else if err != nil {
		return nil, errs.Wrap(errs.Transient, err, "find writer's schema")
	}
	s, err = parse(text)
	if err != nil {
		return nil, errs.Wrap(errs.Hopeless, err, "schema id "+itoa(id))
	}
	c.mu.Lock()
	c.writers[id] = s
	c.mu.Unlock()
	return s, nil
}

// decoder returns how to read what a writer's schema wrote into a type.
func (c *Codec) decoder(id int, writer *parsed, t events.Type) (resolution, error) {
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
func marshal(enc encoder, e events.Event) (value []byte, err error) {
	defer recoverInto(&err, "write Avro")
	return enc.schema.library.AppendEncode(frame(enc.id, nil), e)
}

func unmarshal(dec resolution, body []byte, into events.Event) (err error) {
	defer recoverInto(&err, "read Avro")
	rest, err := dec.library.Decode(body, into)
	if err == nil && len(rest) > 0 { // scan and library disagree
		err = fmt.Errorf("%d bytes after the value", len(rest))
	}
	return err
}

func itoa(n int) string { return strconv.Itoa(n) }

// longLived says whether a topic keeps its records for ever. Their schemas have to stay
// compatible in both directions with all versions: projections replay from the first
// record, and consumers that were not updated yet read the newest.
func longLived(topic string) bool { return strings.HasSuffix(topic, ".events") }
