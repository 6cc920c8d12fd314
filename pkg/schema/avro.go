package schema

import (
	"fmt"

	"github.com/twmb/avro"

	"eventshop.example/pkg/errs"
)

// Compatible reports whether data written with the writer's schema can be read with the reader's,
// by the rules of Avro's schema resolution. BACKWARD compatibility of a new schema is
// Compatible(new, old), FORWARD is Compatible(old, new), FULL is both.
//
// It is stricter than the Avro specification in one point: a logical type may not change, because
// milliseconds read as microseconds are wrong and nothing detects it. Schemas may be recursive
// here, though the Codec refuses to read one recursive record as another.
//
// The error is of kind errs.Conflict when they are incompatible and errs.Invalid when either is not
// a schema. It contains all that [Mismatches] returns.
func Compatible(reader, writer string) error {
	found, err := Mismatches(reader, writer)
	if err != nil {
		return err
	}
	if err := refused(found); err != nil {
		return errs.New(errs.Conflict, "schemas are incompatible: %w", err)
	}
	return nil
}

// Mismatches returns every reason why data written with the writer's schema cannot be read with the
// reader's, in the order of the reader's schema; none when they are [Compatible]. A type that is
// used twice is compared once, at the first place. The error is of kind errs.Invalid when either is
// not a schema.
func Mismatches(reader, writer string) ([]Mismatch, error) {
	r, err := parse(reader)
	if err != nil {
		return nil, errs.New(errs.Invalid, "reader's schema: %w", err)
	}
	w, err := parse(writer)
	if err != nil {
		return nil, errs.New(errs.Invalid, "writer's schema: %w", err)
	}
	return mismatches(r, w), nil
}

// Canonical returns a schema in one fixed form: names fully qualified, attributes in a
// fixed order, no white space. Unlike Avro's "parsing canonical form" it keeps defaults,
// aliases, docs and logical types, because schemas that differ in these are different
// versions. The error is of kind errs.Invalid.
func Canonical(schema string) (string, error) { return canonical(schema, true) }

// Undocumented is [Canonical] without the docs. Two schemas with the same undocumented form have the
// same data and the same readers. A registry still stores them as two versions.
func Undocumented(schema string) (string, error) { return canonical(schema, false) }

func canonical(schema string, docs bool) (string, error) {
	s, err := parse(schema)
	if err != nil {
		return "", errs.New(errs.Invalid, "%w", err)
	}
	text, err := s.root.canonical(docs)
	if err != nil {
		return "", errs.New(errs.Invalid, "write schema: %w", err)
	}
	return text, nil
}

// Subject returns the subject of a record's schema, which is the record's fully-qualified name. The
// error is of kind errs.Invalid when the text is no schema, or not that of a record.
func Subject(schema string) (string, error) {
	s, err := parse(schema)
	if err != nil {
		return "", errs.New(errs.Invalid, "%w", err)
	}
	if s.root.kind != kindRecord {
		return "", errs.New(errs.Invalid, "the schema is of kind %s, not a record", s.root.kind)
	}
	return s.root.name, nil
}

// parsed is a schema in two forms: as the Avro library compiled it, which fills and reads Go
// structs, and as a tree of this package, which checks bytes and converts them to JSON.
type parsed struct {
	library *avro.Schema
	root    *node
}

// parse reads a self-contained schema: every name must be defined in it. The library decides what a
// valid schema is.
func parse(schema string) (s *parsed, err error) {
	defer recoverInto(&err, "parse schema")
	library, err := avro.Parse(schema)
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	root, err := parseNode(schema)
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	return &parsed{library, root}, nil
}

// recoverInto turns a panic of the Avro library into an error: its input comes from outside, and an
// unreadable record must not end the process.
func recoverInto(err *error, attempt string) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: the Avro library panicked: %v", attempt, p)
	}
}
