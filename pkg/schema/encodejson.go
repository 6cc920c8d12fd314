package schema

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/hamba/avro/v2"

	"eventshop.example/pkg/errs"
)

// EncodeJSON is the inverse of DecodeJSON, for tools that repair records of any type: it
// takes a JSON object with the schema's field names, times in RFC 3339, bytes in base64,
// and returns it in wire format. A field may be left out when the schema has a default
// for it or takes null; one of several types is written as the plain value, a record or
// enum among them also as {"its name": value}, which is how DecodeJSON shows it.
//
// The schema is that with the id given, or the newest of the subject with id 0. The
// subject is the fully-qualified name of the record; with an id it may be empty.
//
// Errors: errs.Invalid, with a field error for the first field that does not fit, also
// for logical types that JSON has no obvious form of (decimal, duration, time of day);
// errs.NotFound when the subject has no schema; errs.Hopeless when the id has none, or
// one of another record; errs.Transient when the registry is needed and down.
func (c *Codec) EncodeJSON(ctx context.Context, subject string, id int, object []byte) ([]byte, error) {
	if id == 0 {
		latest, err := c.client.Latest(ctx, subject)
		if err != nil {
			return nil, err
		}
		id = latest.ID
	}
	s, err := c.writer(ctx, id)
	if err != nil {
		return nil, errs.Wrap(errs.KindOf(err), err, "encode "+subject)
	}
	if name := typeName(s); subject != "" && name != subject {
		return nil, errs.New(errs.Hopeless, "encode %s: schema id %d is of %s", subject, id, name)
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, errs.New(errs.Invalid, "encode %s: read JSON: %w", typeName(s), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errs.New(errs.Invalid, "encode %s: there is more after the JSON value", typeName(s))
	}
	var body bytes.Buffer
	w := jsonWriter{avro.NewWriter(&body, 1024)}
	if err := w.value("", s, value, 0); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encode "+typeName(s))
	}
	if err := scan(s, body.Bytes()); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encode "+typeName(s))
	}
	return frame(id, body.Bytes()), nil
}

// SchemaID returns the id of the schema a value in wire format was written with. The
// error is of kind errs.Hopeless: it is not in wire format.
func SchemaID(b []byte) (int, error) {
	id, _, err := unframe(b)
	return id, err
}

// jsonWriter writes what encoding/json reads, with json.Number for numbers, as Avro.
type jsonWriter struct{ *avro.Writer }

// value writes v, whose place in the object is path.
func (w jsonWriter) value(path string, s avro.Schema, v any, depth int) error {
	if depth > maxDepth {
		return errs.Field(path, "is nested deeper than %d", maxDepth)
	}
	switch s := deref(s).(type) {
	case *avro.NullSchema:
		return expect(path, v == nil, "null")
	case *avro.PrimitiveSchema:
		return w.primitive(path, s, v)
	case *avro.RecordSchema:
		return w.record(path, s, v, depth)
	case *avro.ArraySchema:
		list, ok := v.([]any)
		if !ok {
			return expect(path, false, "an array")
		}
		return w.blocks(len(list), func(w jsonWriter, i int) error {
			return w.value(path+"["+strconv.Itoa(i)+"]", s.Items(), list[i], depth+1)
		})
	case *avro.MapSchema:
		return w.mapOf(path, s, v, depth)
	case *avro.UnionSchema:
		return w.union(path, s, v, depth)
	case *avro.EnumSchema:
		symbol, ok := v.(string)
		i := slices.Index(s.Symbols(), symbol)
		if !ok || i < 0 {
			return errs.Field(path, "must be one of %s", strings.Join(s.Symbols(), ", "))
		}
		w.WriteInt(int32(i)) //nolint:gosec // a schema's text bounds its symbols
		return nil
	case *avro.FixedSchema:
		if s.Logical() != nil {
			return errs.Field(path, "is of logical type %s, which cannot be written from JSON", s.Logical().Type())
		}
		b, ok := fixedBytes(v)
		if !ok || len(b) != s.Size() {
			return errs.Field(path, "must be %d bytes in base64", s.Size())
		}
		_, err := w.Write(b)
		return err
	}
	return errs.Field(path, "is of a type that cannot be written from JSON: %s", s.Type())
}

func (w jsonWriter) record(path string, s *avro.RecordSchema, v any, depth int) error {
	object, ok := v.(map[string]any)
	if !ok {
		return expect(path, false, "an object")
	}
	known := make(map[string]bool, len(s.Fields()))
	for _, f := range s.Fields() {
		known[f.Name()] = true
	}
	for _, name := range sortedKeys(object) {
		if !known[name] {
			return errs.Field(join(path, name), "is no field of %s", s.FullName())
		}
	}
	for _, f := range s.Fields() {
		at := join(path, f.Name())
		field, given := object[f.Name()]
		if !given {
			var err error
			if field, err = missing(f); err != nil {
				return errs.Field(at, "%s", err.Error())
			}
		}
		if err := w.value(at, f.Type(), field, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// missing returns what a field is when nothing is said about it.
func missing(f *avro.Field) (any, error) {
	if union, ok := f.Type().(*avro.UnionSchema); !f.HasDefault() && ok && union.Contains(avro.Null) {
		return nil, nil
	}
	if !f.HasDefault() {
		return nil, errors.New("is required")
	}
	text, err := json.Marshal(f.Default())
	if err != nil {
		return nil, errors.New("is required: its default has no form in JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	return v, dec.Decode(&v)
}

func (w jsonWriter) mapOf(path string, s *avro.MapSchema, v any, depth int) error {
	object, ok := v.(map[string]any)
	if !ok {
		return expect(path, false, "an object")
	}
	names := sortedKeys(object)
	return w.blocks(len(names), func(w jsonWriter, i int) error {
		at := join(path, names[i])
		if err := w.text(at, names[i]); err != nil {
			return err
		}
		return w.value(at, s.Values(), object[names[i]], depth+1)
	})
}

// blockItems is how many items the Avro library puts into a block, so that what was not
// changed comes out as the bytes it was.
const blockItems = 100

// blocks writes the n items of an array or map.
func (w jsonWriter) blocks(n int, item func(w jsonWriter, i int) error) (err error) {
	for from := 0; from < n && err == nil; from += blockItems {
		w.WriteBlockCB(func(block *avro.Writer) int64 {
			to := min(from+blockItems, n)
			for i := from; i < to && err == nil; i++ {
				err = item(jsonWriter{block}, i)
			}
			return int64(to - from)
		})
	}
	w.WriteBlockHeader(0, 0)
	return err
}

// union writes the first type of the union that the value fits. A value under the
// type's name is that type's, and nothing else is tried.
func (w jsonWriter) union(path string, s *avro.UnionSchema, v any, depth int) error {
	if wrapped, ok := v.(map[string]any); ok && len(wrapped) == 1 {
		for i, t := range s.Types() {
			if inner, ok := wrapped[typeName(deref(t))]; ok {
				w.WriteLong(int64(i))
				return w.value(path, t, inner, depth+1)
			}
		}
	}
	var first error
	for i, t := range s.Types() {
		var body bytes.Buffer
		branch := jsonWriter{avro.NewWriter(&body, 64)}
		err := branch.value(path, t, v, depth+1)
		if err == nil {
			err = branch.Flush()
		}
		if err == nil {
			w.WriteLong(int64(i))
			_, err = w.Write(body.Bytes())
			return err
		}
		if first == nil && t.Type() != avro.Null { // null says the least about what is wrong
			first = err
		}
	}
	return first
}
