package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

func timeField(logical string) string {
	return `{"name":"at","type":{"type":"long","logicalType":"` + logical + `"}}`
}

// Schemas on which a naive walk would never end, with a time at the far end.
var intricate = map[string]func(logical string) string{
	"recursive in two fields": func(logical string) string {
		return `{"type":"record","name":"tree","fields":[` +
			`{"name":"left","type":{"type":"array","items":"tree"}},` +
			`{"name":"right","type":{"type":"array","items":"tree"}},` + timeField(logical) + `]}`
	},
	"recursive through a union": func(logical string) string {
		return `{"type":"record","name":"list","fields":[{"name":"next","type":["null","list"]},` + timeField(logical) + `]}`
	},
	"recursive through each other": func(logical string) string {
		return `{"type":"record","name":"a","fields":[{"name":"b","type":{"type":"map","values":` +
			`{"type":"record","name":"b","fields":[{"name":"a","type":{"type":"array","items":"a"}},` + timeField(logical) + `]}}}]}`
	},
	"each record in the next one twice": func(logical string) string {
		text := `{"type":"record","name":"r0","fields":[` + timeField(logical) + `]}`
		for i := 1; i <= 64; i++ { // 2^64 times the innermost
			text = fmt.Sprintf(`{"type":"record","name":"r%d","fields":[{"name":"x","type":%s},{"name":"y","type":"r%d"}]}`, i, text, i-1)
		}
		return text
	},
	"800 nested arrays": func(logical string) string {
		const levels = 800
		return strings.Repeat(`{"type":"array","items":`, levels) +
			`{"type":"long","logicalType":"` + logical + `"}` + strings.Repeat("}", levels)
	},
}

func TestCompatibleOfIntricateSchemas(t *testing.T) {
	t.Parallel()
	for name, with := range intricate {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			micros, millis := with("timestamp-micros"), with("timestamp-millis")
			if err := schema.Compatible(micros, micros); err != nil {
				t.Error(err)
			}
			wantKind(t, schema.Compatible(micros, millis), errs.Conflict, "reader's logical type")
		})
	}
}

// A field that only one of two recursive records has is checked like any other.
func TestCompatibleOfRecursiveRecords(t *testing.T) {
	t.Parallel()
	list := func(field string) string {
		return `{"type":"record","name":"list","fields":[{"name":"next","type":["null","list"]}` + field + `]}`
	}
	plain, optional, required := list(""), list(`,{"name":"n","type":"int","default":0}`), list(`,{"name":"n","type":"int"}`)
	if err := schema.Compatible(optional, plain); err != nil {
		t.Error(err)
	}
	if err := schema.Compatible(plain, required); err != nil {
		t.Error(err)
	}
	wantKind(t, schema.Compatible(required, plain), errs.Conflict, "no default")
}

// A writer may nest records that the reader does not know. Two recursive records are not resolved.
func TestDecodeOfRecursiveRecords(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	recursive := cancelled(parcelID, reason, occurredAt, `{"name":"cause","type":["null","lockers.parcel.v1.ParcelReturned"],"default":null}`)
	value := []byte{0, 0, 0, 0, byte(r.add("s", recursive)), 2, 'o', 2, 'r', 2, 0}
	got, err := r.codec().Decode(t.Context(), sample.TypeOf[sample.ParcelReturned](), value)
	if err != nil {
		t.Fatal(err)
	}
	if e := got.(*sample.ParcelReturned); e.ParcelID != "o" || e.Reason != "r" {
		t.Errorf("%+v", e)
	}
	_, err = r.codec().Decode(t.Context(), typeWith("ParcelReturned", recursive), value)
	wantKind(t, err, errs.Hopeless, "recursive")
}
