package schema

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"eventshop.example/pkg/errs"
)

// EncodeJSON is the inverse of DecodeJSON, for tools that repair records of any type. It takes a
// JSON object with the schema's field names, times in RFC 3339, bytes in base64, and returns it in
// wire format. A field may be omitted when the schema has a default for it or accepts null. A value
// of a union is written as the plain value; a record or enum may also be written as {"its name":
// value}, which is the form of DecodeJSON.
//
// The schema is the one with the given id, or the newest of the subject with id 0. The subject is
// the fully-qualified name of the record; with an id it may be empty.
//
// Errors: errs.Invalid, with a field error for the first field that does not fit, also for logical
// types without an obvious JSON form (decimal, duration, time of day); errs.NotFound when the
// subject has no schema; errs.Hopeless when the id has none, or one of another record;
// errs.Transient when the registry is needed and down.
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
	if name := s.root.typeName(); subject != "" && name != subject {
		return nil, errs.New(errs.Hopeless, "encode %s: schema id %d is of %s", subject, id, name)
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, errs.New(errs.Invalid, "encode %s: read JSON: %w", s.root.typeName(), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errs.New(errs.Invalid, "encode %s: there is more after the JSON value", s.root.typeName())
	}
	var w jsonWriter
	if err := w.value("", s.root, value, 0); err != nil {
		return nil, err
	}
	if err := scan(s.root, w.body, nil); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encode "+s.root.typeName())
	}
	return frame(id, w.body), nil
}

// SchemaID returns the id of the schema that a value in wire format was written with. The error is
// of kind errs.Hopeless: the value is not in wire format.
func SchemaID(b []byte) (int, error) {
	id, _, err := unframe(b)
	return id, err
}

// maxTried bounds the number of tried values. In a union of records that contain the union, an
// error far down is found again on each path to it.
const maxTried = 1_000_000

// jsonWriter converts the values of encoding/json, with json.Number for numbers, to Avro.
type jsonWriter struct {
	body  []byte
	tried int
}

func (w *jsonWriter) long(n int64) { w.body = binary.AppendVarint(w.body, n) }

// value writes v. path is its place in the object.
func (w *jsonWriter) value(path string, s *node, v any, depth int) error {
	if depth > maxDepth {
		return errs.Field(path, "is nested deeper than %d", maxDepth)
	}
	if w.tried++; w.tried > maxTried {
		return errs.Field(path, "is one of more than %d values", maxTried)
	}
	switch s.kind {
	case kindNull:
		return expect(path, v == nil, "null")
	case kindRecord:
		return w.record(path, s, v, depth)
	case kindArray:
		list, ok := v.([]any)
		if !ok {
			return expect(path, false, "an array")
		}
		return w.blocks(len(list), func(i int) error {
			return w.value(path+"["+strconv.Itoa(i)+"]", s.items, list[i], depth+1)
		})
	case kindMap:
		return w.mapOf(path, s, v, depth)
	case kindUnion:
		return w.union(path, s, v, depth)
	case kindEnum:
		symbol, ok := v.(string)
		i := slices.Index(s.symbols, symbol)
		if !ok || i < 0 {
			return errs.Field(path, "must be one of %s", strings.Join(s.symbols, ", "))
		}
		w.long(int64(i))
		return nil
	case kindFixed:
		if s.logical != "" {
			return errs.Field(path, "is of logical type %s, which cannot be written from JSON", s.logical)
		}
		b, ok := fixedBytes(v)
		if !ok || len(b) != s.size {
			return errs.Field(path, "must be %d bytes in base64", s.size)
		}
		w.body = append(w.body, b...)
		return nil
	}
	return w.primitive(path, s, v)
}

func (w *jsonWriter) record(path string, s *node, v any, depth int) error {
	object, ok := v.(map[string]any)
	if !ok {
		return expect(path, false, "an object")
	}
	known := make(map[string]bool, len(s.fields))
	for _, f := range s.fields {
		known[f.name] = true
	}
	for _, name := range sortedKeys(object) {
		if !known[name] {
			return errs.Field(join(path, name), "is no field of %s", s.name)
		}
	}
	for _, f := range s.fields {
		at := join(path, f.name)
		v, given := object[f.name]
		switch nullable := slices.ContainsFunc(f.schema.branches, func(b *node) bool { return b.kind == kindNull }); {
		case !given && f.hasDefault:
			w.body = appendDefault(w.body, f.schema, f.value)
			continue
		case !given && !nullable:
			return errs.Field(at, "is required")
		}
		if err := w.value(at, f.schema, v, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *jsonWriter) mapOf(path string, s *node, v any, depth int) error {
	object, ok := v.(map[string]any)
	if !ok {
		return expect(path, false, "an object")
	}
	names := sortedKeys(object)
	return w.blocks(len(names), func(i int) error {
		at := join(path, names[i])
		if err := w.text(at, names[i]); err != nil {
			return err
		}
		return w.value(at, s.items, object[names[i]], depth+1)
	})
}

// blocks writes the n items of an array or map as the Avro library does, so that unchanged values
// are encoded to the same bytes.
func (w *jsonWriter) blocks(n int, item func(i int) error) error {
	w.body = appendCount(w.body, n)
	for i := range n {
		if err := item(i); err != nil {
			return err
		}
	}
	w.body = append(w.body, 0)
	return nil
}

// union writes the first type of the union that the value fits. A value under the name of a type is
// written as that type, and no other is tried.
func (w *jsonWriter) union(path string, s *node, v any, depth int) error {
	if wrapped, ok := v.(map[string]any); ok && len(wrapped) == 1 {
		for i, t := range s.branches {
			inner, ok := wrapped[t.branchName()]
			if !ok {
				inner, ok = wrapped[t.typeName()]
			}
			if ok {
				w.long(int64(i))
				return w.value(path, t, inner, depth+1)
			}
		}
	}
	var first error
	begin := len(w.body)
	for i, t := range s.branches {
		w.long(int64(i))
		err := w.value(path, t, v, depth+1)
		if err == nil {
			return nil
		}
		w.body = w.body[:begin]
		if first == nil && t.kind != kindNull { // an error of null explains the least
			first = err
		}
	}
	return first
}
