package schema

import (
	"fmt"

	"github.com/hamba/avro/v2"
)

// maxExpanded bounds the types of a schema in which each use of a name counts like its
// definition. The library copies them so when it resolves: without a bound it does not
// return for a record that uses another twice, which uses another twice, and so on, and
// ends the process by a stack overflow for two records that contain themselves. The
// catalogue's largest schema has 20.
const maxExpanded = 10_000

// resolve combines the schema data was written with and the one it is read with into a
// schema that decodes the former into the latter. A fresh SchemaCompatibility each time,
// because it caches by a fingerprint that leaves defaults out, on which the answer
// depends.
func resolve(reader, writer avro.Schema) (resolved avro.Schema, err error) {
	defer recoverInto(&err, "resolve schemas")
	if err := (pairs{}).sameLogicalTypes(reader, writer); err != nil {
		return nil, err
	}
	if !resolvable(reader, writer) {
		return nil, fmt.Errorf("resolve schemas: both are recursive or of more than %d types", maxExpanded)
	}
	return avro.NewSchemaCompatibility().Resolve(reader, writer)
}

// compatible says whether resolve succeeds, and answers for recursive schemas too.
func compatible(reader, writer avro.Schema) (err error) {
	if resolvable(reader, writer) {
		_, err := resolve(reader, writer)
		return err
	}
	defer recoverInto(&err, "compare schemas")
	if err := (pairs{}).sameLogicalTypes(reader, writer); err != nil {
		return err
	}
	return avro.NewSchemaCompatibility().Compatible(reader, writer)
}

// resolvable says whether the library can resolve the schemas. It goes as deep as both
// of them do, so that one may be of any size.
func resolvable(reader, writer avro.Schema) bool {
	return expansion{}.of(reader) <= maxExpanded || expansion{}.of(writer) <= maxExpanded
}

// expansion is the number of types in each record met so far, or more than maxExpanded.
type expansion map[*avro.RecordSchema]int

func (known expansion) of(s avro.Schema) int {
	n := 1
	switch s := deref(s).(type) {
	case *avro.RecordSchema:
		if n, ok := known[s]; ok {
			return n
		}
		known[s] = maxExpanded + 1 // the answer to whoever asks from within: it is endless
		for _, f := range s.Fields() {
			n = min(n+known.of(f.Type()), maxExpanded+1)
		}
		known[s] = n
	case *avro.ArraySchema:
		n += known.of(s.Items())
	case *avro.MapSchema:
		n += known.of(s.Values())
	case *avro.UnionSchema:
		for _, t := range s.Types() {
			n += known.of(t)
		}
	}
	return min(n, maxExpanded+1)
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
