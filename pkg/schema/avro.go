package schema

import (
	"encoding/json"
	"fmt"

	"github.com/hamba/avro/v2"

	"eventshop.example/pkg/errs"
)

// Compatible says whether data written with the writer's schema can be read with the
// reader's, by the rules of Avro's schema resolution. BACKWARD compatibility of a new
// schema is Compatible(new, old), FORWARD is Compatible(old, new), FULL is both.
//
// It is stricter than the Avro specification in one point: a logical type may not
// change, for milliseconds read as microseconds are wrong and nobody notices.
//
// The error is of kind errs.Conflict when they are incompatible and errs.Invalid when
// either is not a schema.
func Compatible(reader, writer string) error {
	r, err := parse(reader)
	if err != nil {
		return errs.New(errs.Invalid, "reader's schema: %w", err)
	}
	w, err := parse(writer)
	if err != nil {
		return errs.New(errs.Invalid, "writer's schema: %w", err)
	}
	if _, err := resolve(r, w); err != nil {
		return errs.New(errs.Conflict, "schemas are incompatible: %w", err)
	}
	return nil
}

// Canonical returns a schema in one fixed form: names fully qualified, attributes in a
// fixed order, no white space. Unlike Avro's "parsing canonical form" it keeps defaults,
// aliases, docs and logical types, because schemas that differ in these are different
// versions. The error is of kind errs.Invalid.
func Canonical(schema string) (string, error) {
	parsed, err := parse(schema)
	if err != nil {
		return "", errs.New(errs.Invalid, "%w", err)
	}
	b, err := json.Marshal(parsed)
	if err != nil {
		return "", errs.New(errs.Invalid, "write schema: %w", err)
	}
	return string(b), nil
}

// parse reads a schema that stands for itself. The library's Parse would look up names
// in a cache of everything parsed before, so that a schema with an undefined name is
// valid or not depending on history.
func parse(schema string) (parsed avro.Schema, err error) {
	defer recoverInto(&err, "parse schema")
	if !json.Valid([]byte(schema)) {
		// The library takes a text that is no JSON for the name of a type.
		return nil, fmt.Errorf("parse schema: not JSON")
	}
	parsed, err = avro.ParseWithCache(schema, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	return parsed, nil
}

// resolve combines the schema data was written with and the one it is read with into a
// schema that decodes the former into the latter. A fresh SchemaCompatibility each time,
// because it caches by a fingerprint that leaves defaults out, on which the answer
// depends.
func resolve(reader, writer avro.Schema) (resolved avro.Schema, err error) {
	defer recoverInto(&err, "resolve schemas")
	if err := (pairs{}).sameLogicalTypes(reader, writer); err != nil {
		return nil, err
	}
	return avro.NewSchemaCompatibility().Resolve(reader, writer)
}

// pairs are the records that were compared, or are being compared further up: a record
// that contains itself would be compared without end, and one that does so in several
// fields would double the work at each level.
type pairs map[[2]*avro.RecordSchema]bool

// sameLogicalTypes compares the logical types of fields that both schemas have.
func (seen pairs) sameLogicalTypes(reader, writer avro.Schema) error {
	reader, writer = deref(reader), deref(writer)
	if r, w := logicalType(reader), logicalType(writer); r != w && reader.Type() == writer.Type() {
		return fmt.Errorf("reader's logical type %q is not the writer's %q", r, w)
	}
	switch r := reader.(type) {
	case *avro.RecordSchema:
		if w, ok := writer.(*avro.RecordSchema); ok && !seen[[2]*avro.RecordSchema{r, w}] {
			seen[[2]*avro.RecordSchema{r, w}] = true
			return seen.sameLogicalTypesOfFields(r, w)
		}
	case *avro.ArraySchema:
		if w, ok := writer.(*avro.ArraySchema); ok {
			return seen.sameLogicalTypes(r.Items(), w.Items())
		}
	case *avro.MapSchema:
		if w, ok := writer.(*avro.MapSchema); ok {
			return seen.sameLogicalTypes(r.Values(), w.Values())
		}
	}
	return nil
}

func (seen pairs) sameLogicalTypesOfFields(reader, writer *avro.RecordSchema) error {
	written := make(map[string]avro.Schema, len(writer.Fields()))
	for _, f := range writer.Fields() {
		written[f.Name()] = f.Type()
	}
	for _, f := range reader.Fields() {
		if w, ok := written[f.Name()]; ok {
			if err := seen.sameLogicalTypes(f.Type(), w); err != nil {
				return fmt.Errorf("field %s: %w", f.Name(), err)
			}
		}
	}
	return nil
}

func logicalType(s avro.Schema) avro.LogicalType {
	if l, ok := s.(avro.LogicalTypeSchema); ok && l.Logical() != nil {
		return l.Logical().Type()
	}
	return ""
}

// deref follows a reference to a named type that was defined earlier in the schema.
func deref(s avro.Schema) avro.Schema {
	if ref, ok := s.(*avro.RefSchema); ok {
		return ref.Schema()
	}
	return s
}

// typeName returns the fully-qualified name of a named type, else the type.
func typeName(s avro.Schema) string {
	if named, ok := s.(avro.NamedSchema); ok {
		return named.FullName()
	}
	return string(s.Type())
}

// recoverInto turns a panic of the Avro library into an error: what it is given comes
// from outside, and a record nobody can read must not end the process.
func recoverInto(err *error, attempt string) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: the Avro library panicked: %v", attempt, p)
	}
}
