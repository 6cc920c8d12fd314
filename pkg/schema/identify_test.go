package schema_test

import (
	"testing"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

// TestAValueSaysWhatItIs: a value identifies its schema, and the schema identifies the record.
func TestAValueSaysWhatItIs(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	producer, tool := r.codec(), r.codec()
	if err := producer.Register(t.Context(), sample.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	value, err := producer.Encode(t.Context(), parcelAccepted())
	if err != nil {
		t.Fatal(err)
	}
	id, ok := schema.WriterID(value)
	if !ok {
		t.Fatalf("% x has no id", value)
	}
	typ, _ := sample.Catalogue().Lookup("ParcelAccepted")
	if subject, err := tool.SubjectOf(t.Context(), id); err != nil || subject != typ.Subject {
		t.Errorf("id %d is of %q, %v; want %s", id, subject, err, typ.Subject)
	}
	for _, poison := range [][]byte{nil, {}, value[:4], {1, 0, 0, 0, 1}, {0, 0, 0, 0, 0}, {0, 0xff, 0xff, 0xff, 0xff}} {
		if id, ok := schema.WriterID(poison); ok {
			t.Errorf("% x has the id %d", poison, id)
		}
	}
	_, err = tool.SubjectOf(t.Context(), 1<<20)
	wantKind(t, err, errs.Hopeless, "1048576")
	r.Close()
	_, err = tool.SubjectOf(t.Context(), 1<<20)
	wantKind(t, err, errs.Transient, "1048576")
	if subject, err := tool.SubjectOf(t.Context(), id); err != nil || subject != typ.Subject {
		t.Errorf("once known, and the registry down: %q, %v", subject, err)
	}
}
