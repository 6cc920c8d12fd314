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
// change, for milliseconds read as microseconds are wrong and nobody notices. Schemas
// may be recursive here, though the Codec refuses to read one recursive record as
// another.
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
	if err := compatible(r, w); err != nil {
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
