package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/eventtest"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

// DecodeJSON's form of any event is sufficient to write the same bytes again.
func TestEncodeJSONIsTheInverseOfDecodeJSON(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	if err := c.Register(t.Context(), sample.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	for _, typ := range sample.Catalogue().Types() {
		t.Run(typ.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				want, err := c.Encode(t.Context(), eventtest.Draw(rt, typ))
				if err != nil {
					rt.Fatal(err)
				}
				object, subject, err := c.DecodeJSON(t.Context(), want)
				if err != nil {
					rt.Fatal(err)
				}
				id, err := schema.SchemaID(want)
				if err != nil {
					rt.Fatal(err)
				}
				got, err := c.EncodeJSON(t.Context(), subject, id, object)
				if err != nil || !bytes.Equal(got, want) {
					rt.Fatalf("%s: % x, %v, want % x", object, got, err, want)
				}
			})
			// The newest schema of the subject is the one that was registered.
			want, err := c.Encode(t.Context(), typ.New())
			if errs.KindOf(err) == errs.Invalid {
				return // a zero time is before the year 1 in some zones; nothing to compare
			}
			object, _, err := c.DecodeJSON(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.EncodeJSON(t.Context(), typ.Subject, 0, object); err != nil || !bytes.Equal(got, want) {
				t.Errorf("with the newest schema: % x, %v, want % x", got, err, want)
			}
		})
	}
}

// everyKind is a record with every Avro type that has a JSON form.
const everyKind = `{"type":"record","name":"sample.Every","fields":[
	{"name":"nothing","type":"null"},{"name":"flag","type":"boolean"},{"name":"int","type":"int"},{"name":"long","type":"long"},
	{"name":"float","type":"float"},{"name":"double","type":"double"},{"name":"text","type":"string"},{"name":"bytes","type":"bytes"},
	{"name":"fixed","type":{"type":"fixed","name":"sample.Two","size":2}},
	{"name":"enum","type":{"type":"enum","name":"sample.Size","symbols":["S","M"]}},
	{"name":"list","type":{"type":"array","items":"sample.Size"}},
	{"name":"map","type":{"type":"map","values":"long"}},
	{"name":"optional","type":["null","string"]},{"name":"absent","type":["null","string"]},
	{"name":"when","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
	{"name":"millis","type":{"type":"long","logicalType":"timestamp-millis"}},
	{"name":"day","type":{"type":"int","logicalType":"date"}},
	{"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
	{"name":"either","type":["string","long",{"type":"record","name":"sample.Box","fields":[{"name":"n","type":"int"}]}]},
	{"name":"box","type":["null","sample.Box"]},
	{"name":"tree","type":{"type":"record","name":"sample.Tree","fields":[{"name":"left","type":["null","sample.Tree"]}]}}
]}`

const everyObject = `{"nothing":null,"flag":true,"int":-2147483648,"long":9223372036854775807,"float":1.5,"double":-0.1,
	"text":"Köln","bytes":"AP8=","fixed":[3,255],"enum":"M","list":["S","M"],"map":{"a":1,"b":-1},"optional":"x","absent":null,
	"when":"2024-02-29T23:59:59.123456Z","millis":"1969-12-31T23:59:59.999Z","day":"1969-12-31T00:00:00Z",
	"uuid":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","either":{"sample.Box":{"n":7}},"box":{"sample.Box":{"n":8}},
	"tree":{"left":{"sample.Tree":{"left":null}}}}`

func TestEncodeJSONOfEveryKind(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	id := r.add("every", everyKind)
	b, err := c.EncodeJSON(t.Context(), "sample.Every", id, []byte(everyObject))
	if err != nil {
		t.Fatal(err)
	}
	object, subject, err := c.DecodeJSON(t.Context(), b)
	if err != nil || subject != "sample.Every" {
		t.Fatal(subject, err)
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(object, &got), json.Unmarshal([]byte(everyObject), &want)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEncodeJSONNamesTheFieldAtFault(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	id := r.add("order", sample.TypeOf[sample.ParcelAccepted]().Schema)
	every := r.add("every", everyKind)
	odd := r.add("odd", `{"type":"record","name":"odd","fields":[{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}}]}`)
	defaults := r.add("defaults", `{"type":"record","name":"defaults","fields":[
		{"name":"a","type":"string","default":"x"},{"name":"n","type":"long","default":7},{"name":"o","type":["null","string"]},
		{"name":"l","type":{"type":"array","items":"int"},"default":[]}]}`)
	good, err := c.Encode(t.Context(), parcelAccepted())
	if err != nil {
		t.Fatal(err)
	}
	object, _, err := c.DecodeJSON(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	with := func(t *testing.T, object string, change func(map[string]any)) []byte {
		var m map[string]any
		dec := json.NewDecoder(bytes.NewReader([]byte(object)))
		dec.UseNumber()
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		change(m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	order := func(change func(map[string]any)) []byte { return with(t, string(object), change) }
	any1 := func(field string, v any) []byte { return with(t, everyObject, func(m map[string]any) { m[field] = v }) }
	item := func(field string, v any) []byte {
		return order(func(m map[string]any) { m["items"].([]any)[1].(map[string]any)[field] = v })
	}
	for _, bad := range []struct {
		id    int
		json  []byte
		field string
		says  string
	}{
		{id, []byte(`[]`), "", "an object"},
		{id, order(func(m map[string]any) { delete(m, "currency") }), "currency", "required"},
		{id, order(func(m map[string]any) { m["colour"] = "red" }), "colour", "no field of"},
		{id, order(func(m map[string]any) { m["totalAmount"] = "12" }), "totalAmount", "integer of 64 bits"},
		{id, order(func(m map[string]any) { m["totalAmount"] = json.Number("1e3") }), "totalAmount", "integer of 64 bits"},
		{id, order(func(m map[string]any) { m["totalAmount"] = json.Number("9223372036854775808") }), "totalAmount", "integer of 64 bits"},
		{id, order(func(m map[string]any) { m["occurredAt"] = "yesterday" }), "occurredAt", "RFC 3339"},
		{id, order(func(m map[string]any) { m["occurredAt"] = "2024-01-01T00:00:00.1234567Z" }), "occurredAt", "finer than"},
		{id, order(func(m map[string]any) { m["occurredAt"] = "9999-12-31T23:59:59-01:00" }), "occurredAt", "years"},
		{id, order(func(m map[string]any) { m["items"] = nil }), "items", "an array"},
		{id, order(func(m map[string]any) { m["parcelId"] = "a\x00" }), "parcelId", "NUL"},
		{id, order(func(m map[string]any) { m["sender"].(map[string]any)["name"] = 1 }), "sender.name", "a text"},
		{id, item("quantity", math.MaxInt32+1), "items[1].quantity", "integer of 32 bits"},
		{id, item("quantity", nil), "items[1].quantity", "integer of 32 bits"},
		{every, any1("nothing", 0), "nothing", "null"},
		{every, any1("flag", "true"), "flag", "true or false"},
		{every, any1("float", json.Number("1e300")), "float", "32 bits"},
		{every, any1("double", json.Number("1e999")), "double", "a number"},
		{every, any1("bytes", "?"), "bytes", "base64"},
		{every, any1("fixed", "AA=="), "fixed", "2 bytes"},
		{every, any1("fixed", []any{256, 1}), "fixed", "2 bytes"},
		{every, any1("enum", "XL"), "enum", "one of S, M"},
		{every, any1("map", map[string]any{"k": "v"}), "map.k", "integer"},
		{every, any1("map", map[string]any{"k\x00": 1}), "map.k\x00", "NUL"},
		{every, any1("optional", 1), "optional", "a text"},
		{every, any1("either", map[string]any{"sample.Box": map[string]any{}}), "either.n", "required"},
		{every, any1("either", []any{}), "either", "a text"},
		{every, any1("day", "1970-01-01T01:00:00Z"), "day", "a day"},
		{odd, []byte(`{"price":"1/20"}`), "price", "logical type decimal"},
	} {
		_, err := c.EncodeJSON(t.Context(), "", bad.id, bad.json)
		wantKind(t, err, errs.Invalid, bad.says)
		if fields := errs.Fields(err); len(fields) != 1 || fields[0].Field != bad.field {
			t.Errorf("%s: fields %+v, want %q", bad.json, fields, bad.field)
		}
	}
	b, err := c.EncodeJSON(t.Context(), "defaults", defaults, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := c.DecodeJSON(t.Context(), b); err != nil || string(got) != `{"a":"x","l":[],"n":7,"o":null}` {
		t.Errorf("defaults: %s, %v", got, err)
	}
	plain, err := c.EncodeJSON(t.Context(), "", every, any1("either", 7))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.DecodeJSON(t.Context(), plain); err != nil {
		t.Error(err)
	}
}

func TestEncodeJSONWithoutASchema(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	id := r.add("every", everyKind)
	_, err := c.EncodeJSON(t.Context(), "sample.Every", id, []byte(`{"nothing"`))
	wantKind(t, err, errs.Invalid, "read JSON")
	_, err = c.EncodeJSON(t.Context(), "sample.Every", id, []byte(everyObject+"1"))
	wantKind(t, err, errs.Invalid, "more after")
	_, err = c.EncodeJSON(t.Context(), "sample.Other", id, []byte(everyObject))
	wantKind(t, err, errs.Hopeless, "is of sample.Every")
	_, err = c.EncodeJSON(t.Context(), "sample.Every", 99, []byte(everyObject))
	wantKind(t, err, errs.Hopeless, "no such schema")
	_, err = c.EncodeJSON(t.Context(), "sample.Unknown", 0, []byte(everyObject))
	wantKind(t, err, errs.NotFound, "latest schema of sample.Unknown")
	r.Close()
	_, err = c.EncodeJSON(t.Context(), "sample.Every", 0, []byte(everyObject))
	wantKind(t, err, errs.Transient, "latest schema")
}
