package schema_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

// Other versions of ParcelReturned, as an older or newer producer might have them.
const (
	cancelledHead = `{"type":"record","name":"lockers.parcel.v1.ParcelReturned","fields":[`
	parcelID      = `{"name":"parcelId","type":"string"}`
	reason        = `{"name":"reason","type":"string"}`
	detail        = `{"name":"detail","type":"string","default":""}`
	occurredAt    = `{"name":"occurredAt","type":{"type":"long","logicalType":"timestamp-micros"}}`
)

func cancelled(fields ...string) string { return cancelledHead + strings.Join(fields, ",") + "]}" }

func TestEvolution(t *testing.T) {
	t.Parallel()
	// Bodies: parcelId "o", reason "r", detail "d" and the time 1 µs, in the writer's order.
	const o, re, d, ts = "\x02o", "\x02r", "\x02d", "\x02"
	for _, v := range []struct {
		name, writer, body, detail string
	}{
		{"same", cancelled(parcelID, reason, detail, occurredAt), o + re + d + ts, "d"},
		{"older, without a field", cancelled(parcelID, reason, occurredAt), o + re + ts, ""},
		{"newer, with a text more", cancelled(parcelID, `{"name":"by","type":"string","default":""}`, reason, detail, occurredAt), o + "\x06who" + re + d + ts, "d"},
		{"newer, with records more", cancelled(parcelID, reason, detail, occurredAt,
			`{"name":"notes","default":[],"type":{"type":"array","items":{"type":"record","name":"Note","fields":[`+
				`{"name":"text","type":"string"},{"name":"lang","type":["null","string"],"default":null}]}}}`),
			o + re + d + ts + "\x04" + "\x02a\x00" + "\x02b\x02\x04en" + "\x00", "d"},
		{"other order of fields", cancelled(occurredAt, detail, reason, parcelID), ts + d + re + o, "d"},
		{"text written as bytes", cancelled(parcelID, `{"name":"reason","type":"bytes"}`, occurredAt), o + re + ts, ""},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			id := r.add("s", v.writer)
			got, err := r.codec().Decode(t.Context(), sample.TypeOf[sample.ParcelReturned](),
				append([]byte{0, 0, 0, 0, byte(id)}, v.body...))
			if err != nil {
				t.Fatal(err)
			}
			want := &sample.ParcelReturned{ParcelID: "o", Reason: "r", Detail: v.detail, OccurredAt: time.UnixMicro(1).UTC()}
			if diff := cmp.Diff(event.Event(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefaultListOfRecords(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	id := r.add("s", `{"type":"record","name":"lockers.locker.v1.LockersFull","fields":[`+
		parcelID+","+reason+","+occurredAt+`]}`)
	got, err := r.codec().Decode(t.Context(), sample.TypeOf[sample.LockersFull](),
		append([]byte{0, 0, 0, 0, byte(id)}, "\x02o\x02r\x02"...))
	if err != nil {
		t.Fatal(err)
	}
	if f := got.(*sample.LockersFull); len(f.Shortages) != 0 || f.Reason != "r" {
		t.Errorf("%+v", f)
	}
}

func TestUnresolvableWritersAreHopeless(t *testing.T) {
	t.Parallel()
	for name, writer := range map[string]string{
		"a field without default is missing": cancelled(parcelID, occurredAt),
		"another type":                       cancelled(parcelID, `{"name":"reason","type":"long"}`, occurredAt),
		"milliseconds":                       cancelled(parcelID, reason, strings.Replace(occurredAt, "micros", "millis", 1)),
		"another record":                     strings.Replace(cancelled(parcelID, reason, occurredAt), "parcel.v1", "parcel.v2", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			id := r.add("s", writer)
			_, err := r.codec().Decode(t.Context(), sample.TypeOf[sample.ParcelReturned](), []byte{0, 0, 0, 0, byte(id), 0, 0, 0, 0})
			wantKind(t, err, errs.Hopeless, "decode ParcelReturned")
		})
	}
}

func TestCompatible(t *testing.T) {
	t.Parallel()
	full := cancelled(parcelID, reason, detail, occurredAt)
	for _, c := range []struct {
		name, reader, writer string
		ok                   bool
	}{
		{"equal", full, full, true},
		{"reader adds a field with default", full, cancelled(parcelID, reason, occurredAt), true},
		{"reader drops a field", cancelled(parcelID, reason, occurredAt), full, true},
		{"reader adds a field without default", full, cancelled(parcelID, detail, occurredAt), false},
		{"int to long", `"long"`, `"int"`, true},
		{"long to int", `"int"`, `"long"`, false},
		{"union takes more", `["null","string"]`, `"string"`, true},
		{"union takes less", `"string"`, `["null","string"]`, false},
		{"symbol added for the reader", enum("A", "B"), enum("A"), true},
		{"symbol unknown to the reader", enum("A"), enum("A", "B"), false},
		{"other name", `{"type":"fixed","name":"f","size":2}`, `{"type":"fixed","name":"g","size":2}`, false},
		{"other logical type", `{"type":"long","logicalType":"timestamp-micros"}`, `{"type":"long","logicalType":"timestamp-millis"}`, false},
		{"logical type within a list", list("timestamp-micros"), list("timestamp-millis"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := schema.Compatible(c.reader, c.writer)
			if c.ok && err != nil {
				t.Error(err)
			}
			if !c.ok {
				wantKind(t, err, errs.Conflict, "incompatible")
			}
		})
	}
	// The result must not depend on earlier calls: only the default differs.
	if schema.Compatible(cancelled(parcelID, `{"name":"detail","type":"string"}`), cancelled(parcelID)) == nil {
		t.Error("a new field without default was accepted")
	}
	if err := schema.Compatible(cancelled(parcelID, detail), cancelled(parcelID)); err != nil {
		t.Error(err)
	}
	wantKind(t, schema.Compatible("{", `"int"`), errs.Invalid, "reader")
	wantKind(t, schema.Compatible(`"int"`, `"lockers.parcel.v1.ParcelReturned"`), errs.Invalid, "writer")
}

func enum(symbols ...string) string {
	return fmt.Sprintf(`{"type":"enum","name":"e","symbols":["%s"]}`, strings.Join(symbols, `","`))
}

func list(logical string) string {
	return fmt.Sprintf(`{"type":"array","items":{"type":"long","logicalType":"%s"}}`, logical)
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	a, err := schema.Canonical(`{ "fields" : [ {"default":"", "type":"string", "name":"a", "doc":"d"} ],
		"namespace":"n", "name":"r", "type":"record" }`)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"n.r","type":"record","fields":[{"name":"a","doc":"d","type":"string","default":""}]}`; a != want {
		t.Errorf("got  %s\nwant %s", a, want)
	}
	for _, typ := range sample.Catalogue().Types() {
		if c, err := schema.Canonical(typ.Schema); err != nil || c != typ.Schema {
			t.Errorf("%s is not generated in canonical form: %v", typ.Name, err)
		}
	}
	for _, bad := range []string{"", "string", "{", `{"type":"record","name":"r"}`, `"unknown.Name"`, `{"type":"array"}`, "7"} {
		_, err := schema.Canonical(bad)
		wantKind(t, err, errs.Invalid, "")
	}
}

func TestRandomOrdersRoundTrip(t *testing.T) {
	t.Parallel()
	c := newRegistry(t).codec()
	text := rapid.StringMatching(`[^\x00]{0,20}`)
	rapid.Check(t, func(rt *rapid.T) {
		want := sample.ParcelAccepted{ParcelID: text.Draw(rt, "id"), TotalAmount: rapid.Int64().Draw(rt, "total")}
		want.Items = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) sample.Item {
			return sample.Item{
				Size: text.Draw(rt, "size"), Quantity: rapid.Int32().Draw(rt, "quantity"), Price: rapid.Int64().Draw(rt, "price"),
			}
		}), 0, 250).Draw(rt, "items") // more than one block of 100
		want.CollectBy = time.UnixMicro(rapid.Int64Range(-62135596800000000, 253402300799999999).Draw(rt, "time")).UTC()
		want.OccurredAt = at
		b, err := c.Encode(t.Context(), want)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := c.Decode(t.Context(), sample.TypeOf[sample.ParcelAccepted](), b)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			rt.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// FuzzDecode decodes arbitrary bytes as a type that uses every kind: by its own schema, by one to
// be resolved, and by schemas whose items take no bytes or recur. It must never panic and never
// allocate far more than its input.
func FuzzDecode(f *testing.F) {
	r := newRegistry(f)
	c := r.codec()
	good, err := c.Encode(f.Context(), parcelAccepted())
	if err != nil {
		f.Fatal(err)
	}
	order := sample.TypeOf[sample.ParcelAccepted]()
	resolved := r.add("a", strings.Replace(order.Schema, `"fields":[`, `"fields":[{"name":"more","type":{"type":"map","values":["null","bytes"]}},`, 1))
	nothings := r.add("b", `{"type":"array","items":"null"}`)
	recursive := r.add("c", `{"type":"record","name":"l","fields":[{"name":"next","type":["null","l"]},{"name":"all","type":{"type":"array","items":"l"}}]}`)
	for _, id := range []int{1, resolved, nothings, recursive} {
		f.Add(byte(id), good[5:])
		f.Add(byte(id), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2})
		f.Add(byte(id), []byte{0x80, 0x80, 0x80, 0x10})
		f.Add(byte(id), []byte(strings.Repeat("\x02", 200)))
	}
	f.Fuzz(func(t *testing.T, id byte, body []byte) {
		value := append([]byte{0, 0, 0, 0, id}, body...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		e, err := c.Decode(t.Context(), order, value)
		if (e == nil) == (err == nil) {
			t.Errorf("event %v and error %v", e, err)
		}
		if err != nil && errs.KindOf(err) != errs.Hopeless {
			t.Errorf("kind %v: %v", errs.KindOf(err), err)
		}
		_, _, err = c.DecodeJSON(t.Context(), value)
		if err != nil && errs.KindOf(err) != errs.Hopeless {
			t.Errorf("kind %v: %v", errs.KindOf(err), err)
		}
		runtime.ReadMemStats(&after)
		// 100,000 items of no bytes may take 16 MiB as JSON, plus caches.
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20+200*uint64(len(body)) {
			t.Errorf("%d bytes allocated for %d bytes of input", grown, len(body))
		}
	})
}
