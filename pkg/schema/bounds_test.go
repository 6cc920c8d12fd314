package schema_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/eventtest"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

func long(n int64) []byte { return binary.AppendVarint(nil, n) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// block returns a block of an array or map that states its size, right or wrong.
func block(count, size int64, items []byte) []byte { return join(long(-count), long(size), items) }

const (
	texts     = `{"type":"array","items":"string"}`
	nulls     = `{"type":"array","items":"null"}`
	empties   = `{"type":"array","items":{"type":"record","name":"Empty","fields":[]}}`
	nothing   = `{"type":"array","items":{"type":"fixed","name":"Nothing","size":0}}`
	nested    = `{"type":"array","items":{"type":"array","items":"null"}}`
	textMap   = `{"type":"map","values":"string"}`
	nullMap   = `{"type":"map","values":"null"}`
	longs     = `{"type":"array","items":"long"}`
	endOfList = "\x00"
)

// twice returns the schema of a record that uses another one twice, which uses another one twice,
// and so on: with the innermost it has 2^levels of them.
func twice(levels int, innermost string) string {
	text := `{"type":"record","name":"R0","fields":[` + innermost + `]}`
	for i := 1; i <= levels; i++ {
		text = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"x","type":%s},{"name":"y","type":"R%d"}]}`, i, text, i-1)
	}
	return text
}

// Values that announce more than they contain. The first groups are the inputs of advisories
// against a decoder that programs linked before.
var dishonest = []struct {
	name, schema string
	body         []byte
	says         string
}{
	// GO-2026-5046: a count of missing items becomes a loop.
	{"count without items", texts, long(math.MaxInt64), "more than 100000 items"},
	{"count without items, sized", texts, block(math.MaxInt64, 1, nil), "more than 100000 items"},
	{"count within bounds without items", texts, long(100_000), "item 0"},
	{"count of map entries", textMap, long(math.MaxInt64), "more than 100000 items"},
	{"count of nulls", nulls, join(long(math.MaxInt64), []byte(endOfList)), "more than 100000 items"},
	{"count of empty records", empties, join(long(1<<40), []byte(endOfList)), "more than 100000 items"},
	{"count of nothing", nothing, join(long(1<<31), []byte(endOfList)), "more than 100000 items"},
	{"one null too many", nulls, join(long(100_001), []byte(endOfList)), "more than 100000 items"},
	{"nulls in two blocks", nulls, join(long(60_000), long(60_000), []byte(endOfList)), "more than 100000 items"},
	{"nulls in two sized blocks", nulls, join(block(100_000, 0, nil), block(1, 0, nil), []byte(endOfList)), "more than 100000 items"},
	{"nulls in lists of lists", nested, join(long(400), bytes.Repeat(join(long(300), []byte{0}), 400), []byte{0}), "more than 100000 items"},
	{"2^60 empty records without a byte", twice(60, ""), nil, "take no bytes"},
	{"2^60 nulls without a byte", twice(60, `{"name":"n","type":"null"}`), nil, "take no bytes"},
	// GO-2026-5047: numbers that wrap.
	{"smallest count", texts, block(math.MinInt64, 0, nil), "more than 100000 items"},
	{"largest negative count", texts, block(math.MaxInt64, math.MaxInt64, nil), "more than 100000 items"},
	{"counts whose sum wraps", nulls, join(long(math.MaxInt64), long(math.MaxInt64), long(4)), "more than 100000 items"},
	{"negative block size", longs, block(1, -1, long(7)), "block of -1 bytes"},
	{"smallest block size", longs, block(1, math.MinInt64, long(7)), "block of -9223372036854775808 bytes"},
	{"largest block size", longs, join(block(1, math.MaxInt64, long(7)), []byte(endOfList)), "block says 9223372036854775807 bytes and has 1"},
	{"block size too large", longs, join(block(1, 2, long(7)), []byte(endOfList)), "block says 2 bytes and has 1"},
	{"block size too small", longs, join(block(2, 1, join(long(7), long(7))), []byte(endOfList)), "block says 1 bytes and has 2"},
	{"block size of nothing", longs, join(block(1, 0, long(7)), []byte(endOfList)), "block says 0 bytes and has 1"},
	{"sizes that cancel out", longs, join(block(1, 0, long(7)), block(1, 2, long(7)), []byte(endOfList)), "block says 0 bytes"},
	{"negative length", `"bytes"`, long(-1), "length -1"},
	{"smallest length", `"bytes"`, long(math.MinInt64), "length -9223372036854775808"},
	{"largest length", `"string"`, long(math.MaxInt64), "length 9223372036854775807"},
	{"length that is 0 in 32 bits", `"string"`, long(1 << 32), "length 4294967296"},
	{"one byte short", `"string"`, join(long(3), []byte("ab")), "length 3 with 2 bytes left"},
	{"large fixed", `{"type":"fixed","name":"f","size":2147483647}`, []byte("ab"), "length 2147483647"},
	{"branch that is 0 in 32 bits", `["null","string"]`, long(1 << 32), "4294967296 is not a branch"},
	{"branch after the last", `["null","string"]`, long(2), "2 is not a branch of a union of 2"},
	{"negative branch", `["null","string"]`, long(-1), "-1 is not a branch"},
	{"symbol that is 0 in 32 bits", enum("A"), long(1 << 32), "4294967296 is not a symbol"},
	{"symbol after the last", enum("A", "B"), long(2), "2 is not a symbol of an enum of 2"},
	{"negative symbol", enum("A"), long(-1), "-1 is not a symbol"},
	{"int above 32 bits", `"int"`, long(math.MaxInt32 + 1), "does not fit an int"},
	{"int below 32 bits", `"int"`, long(math.MinInt32 - 1), "does not fit an int"},
	// GO-2026-5048: a map grows by its counts.
	{"count of entries of nothing", nullMap, long(1 << 30), "more than 100000 items"},
	{"map in many blocks", nullMap, bytes.Repeat(join(long(1000), bytes.Repeat([]byte{0}, 1000)), 101), "more than 100000 items"},
	{"map key without its length", nullMap, join(long(1), long(1<<20)), "key: length 1048576"},
	{"map key that is no text", nullMap, join(long(1), long(1), []byte("\xff"), []byte(endOfList)), "key: text is not valid"},
	{"map key with a NUL", nullMap, join(long(1), long(1), []byte{0}, []byte(endOfList)), "key: text holds a NUL"},
	// Similar cases.
	{"deep recursion", `{"type":"record","name":"list","fields":[{"name":"next","type":["null","list"]}]}`, bytes.Repeat(long(1), 100_000), "nested deeper than 64"},
	{"deep recursion in arrays", `{"type":"record","name":"tree","fields":[{"name":"all","type":{"type":"array","items":"tree"}}]}`, bytes.Repeat(long(1), 100_000), "nested deeper than 64"},
	{"integer of 11 bytes", `"long"`, append(bytes.Repeat([]byte{0xff}, 10), 1), "too long"},
	{"integer above 64 bits", `"long"`, append(bytes.Repeat([]byte{0xff}, 9), 2), "too long"},
	{"integer cut short", `"long"`, []byte{0xff}, "cut short"},
	{"boolean of 2", `"boolean"`, []byte{2}, "2 is not a boolean"},
	{"no boolean", `"boolean"`, nil, "length 1 with 0"},
	{"half a float", `"float"`, []byte{0, 0, 0}, "length 4 with 3"},
	{"half a double", `"double"`, []byte{0, 0, 0, 0, 0, 0, 0}, "length 8 with 7"},
	{"no end of the list", texts, join(long(1), long(0)), "integer is cut short"},
	{"more after the list", texts, []byte{0, 0}, "1 bytes after the value"},
	{"text that is no UTF-8", `"string"`, join(long(1), []byte{0xff}), "UTF-8"},
	{"surrogate", `"string"`, join(long(3), []byte("\xed\xa0\x80")), "UTF-8"},
	{"millisecond before the year 1", timestamp("timestamp-millis"), long(-62135596800001), "years 1 to 9999"},
	{"millisecond of the year 10000", timestamp("local-timestamp-millis"), long(253402300800000), "years 1 to 9999"},
	{"microsecond before the year 1", timestamp("timestamp-micros"), long(-62135596800000001), "years 1 to 9999"},
	{"microsecond of the year 10000", timestamp("local-timestamp-micros"), long(253402300800000000), "years 1 to 9999"},
	{"largest microsecond", timestamp("timestamp-micros"), long(math.MaxInt64), "years 1 to 9999"},
	{"day before the year 1", `{"type":"int","logicalType":"date"}`, long(-719163), "years 1 to 9999"},
	{"day of the year 10000", `{"type":"int","logicalType":"date"}`, long(2932897), "years 1 to 9999"},
}

func timestamp(logical string) string { return `{"type":"long","logicalType":"` + logical + `"}` }

func TestDishonestValuesAreRefusedCheaply(t *testing.T) {
	r := newRegistry(t)
	c := r.codec()
	typ := sample.TypeOf[sample.ParcelReturned]()
	for _, bad := range dishonest {
		t.Run(bad.name, func(t *testing.T) {
			// Once as the whole value, and once as a field that the reader drops.
			whole := frame(r.add("whole", bad.schema), bad.body)
			skipped := frame(r.add("skipped", cancelled(parcelID, reason, occurredAt, `{"name":"more","type":`+bad.schema+`}`)),
				join([]byte("\x02o\x02r\x02"), bad.body))
			refuse := func() {
				_, _, err := c.DecodeJSON(t.Context(), whole)
				wantKind(t, err, errs.Hopeless, bad.says)
				e, err := c.Decode(t.Context(), typ, skipped)
				wantKind(t, err, errs.Hopeless, bad.says)
				if e != nil {
					t.Errorf("an error and an event: %v", e)
				}
			}
			within(t, refuse)
			// The schemas are cached by now.
			if got := allocated(refuse); got > 128<<10 { // half of it without the race detector
				t.Errorf("%d bytes are allocated to refuse %d", got, len(bad.body))
			}
			if got := testing.AllocsPerRun(1, refuse); got > 1000 { // an error contains the path to the wrong value
				t.Errorf("%.0f allocations to refuse %d bytes", got, len(bad.body))
			}
		})
	}
}

// frame puts the wire format's prefix before a body.
func frame(id int, body []byte) []byte {
	return append([]byte{0, 0, 0, byte(id >> 8), byte(id)}, body...)
}

// within fails the test when f does not return. Without the checks under test, f would run for
// centuries.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("still running after a minute")
	}
}

// allocated returns the bytes that f, and all code that runs concurrently, allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// shown begins the names of values that are exactly at the bounds. As a field of another record
// they would be one level deeper, and the library accepts 4,096 items of no bytes.
const shown = "alone: "

// The largest values within the bounds: as many nulls, entries, levels.
func TestValuesAtTheBoundsAreAccepted(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	list := `{"type":"record","name":"list","fields":[{"name":"next","type":["null","list"]}]}`
	for _, good := range []struct {
		name, schema string
		body         []byte
	}{
		{shown + "nulls", nulls, join(long(100_000), []byte(endOfList))},
		{shown + "nulls in two blocks", nulls, join(long(50_000), block(50_000, 0, nil), []byte(endOfList))},
		{shown + "empty records", empties, join(long(100_000), []byte(endOfList))},
		{"4096 nulls", nulls, join(long(4096), []byte(endOfList))},
		{"map of nothing", nullMap, join(long(100_000), bytes.Repeat([]byte{0}, 100_000), []byte(endOfList))},
		{"16384 empty records, each in the next one twice", twice(14, ""), nil},
		{shown + "recursion", list, append(bytes.Repeat(long(1), 31), 0)}, // of two levels each
		{"block that says its size", longs, join(block(2, 2, join(long(7), long(7))), []byte(endOfList))},
		{"last branch", `["null","string"]`, join(long(1), long(0))},
		{"last symbol", enum("A", "B"), long(1)},
		{"largest int", `"int"`, long(math.MaxInt32)},
		{"smallest int", `"int"`, long(math.MinInt32)},
		{"largest long", `"long"`, long(math.MaxInt64)},
		{"smallest long", `"long"`, long(math.MinInt64)},
		{"first millisecond", timestamp("timestamp-millis"), long(-62135596800000)},
		{"last millisecond", timestamp("timestamp-millis"), long(253402300799999)},
		{"first microsecond", timestamp("timestamp-micros"), long(-62135596800000000)},
		{"last microsecond", timestamp("local-timestamp-micros"), long(253402300799999999)},
		{"first day", `{"type":"int","logicalType":"date"}`, long(-719162)},
		{"last day", `{"type":"int","logicalType":"date"}`, long(2932896)},
		{"integer longer than it must be", `"long"`, []byte{0x82, 0x80, 0}},
	} {
		t.Run(good.name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := c.DecodeJSON(t.Context(), frame(r.add("whole", good.schema), good.body)); err != nil {
				t.Error(err)
			}
			writer := cancelled(parcelID, reason, occurredAt, `{"name":"more","type":`+good.schema+`}`)
			value := frame(r.add("skipped", writer), join([]byte("\x02o\x02r\x02"), good.body))
			if strings.HasPrefix(good.name, shown) {
				return
			}
			if _, err := c.Decode(t.Context(), sample.TypeOf[sample.ParcelReturned](), value); err != nil {
				t.Error(err)
			}
		})
	}
}

// A schema contains a name once, but the JSON of an array of it contains the name a hundred
// thousand times.
func TestJSONIsBounded(t *testing.T) {
	r := newRegistry(t)
	c := r.codec()
	name := strings.Repeat("n", 10_000)
	list := func(items string) string { return `{"type":"array","items":` + items + `}` }
	record := func(fieldType string) string {
		return `{"type":"record","name":"r","fields":[{"name":"` + name + `","type":` + fieldType + `}]}`
	}
	for _, large := range []struct {
		name, schema string
		item         []byte
	}{
		{"symbols", list(enum(name)), long(0)},
		{"fields", list(record(`"null"`)), nil},
		{"names of types", list(`["null",{"type":"enum","name":"` + name + `","symbols":["A"]}]`), join(long(1), long(0))},
		{"digits of decimals", list(`{"type":"bytes","logicalType":"decimal","precision":1000,"scale":999}`), join(long(1), []byte{1})},
	} {
		body := join(long(100_000), bytes.Repeat(large.item, 100_000), []byte(endOfList))
		value := frame(r.add("large", large.schema), body)
		decode := func() {
			_, _, err := c.DecodeJSON(t.Context(), value)
			wantKind(t, err, errs.Hopeless, "as JSON it is larger than 33554432 bytes")
		}
		within(t, decode)
		if got := allocated(decode); got > 256<<20 {
			t.Errorf("%s: %d bytes are allocated", large.name, got)
		}
		few := frame(r.add("large", large.schema), join(long(100), bytes.Repeat(large.item, 100), []byte(endOfList)))
		if _, _, err := c.DecodeJSON(t.Context(), few); err != nil {
			t.Errorf("a hundred of %s: %v", large.name, err)
		}
	}
	for _, decimal := range []string{
		`{"type":"bytes","logicalType":"decimal","precision":5000,"scale":1001}`,
		`{"type":"bytes","logicalType":"decimal","precision":5000,"scale":0}`,
	} {
		value := frame(r.add("decimal", decimal), join(long(1001), bytes.Repeat([]byte{1}, 1001)))
		_, _, err := c.DecodeJSON(t.Context(), value)
		wantKind(t, err, errs.Hopeless, "a decimal of 1001 bytes")
	}
	value := frame(r.add("time", `{"type":"long","logicalType":"time-micros"}`), long(math.MaxInt64/1000+1))
	_, _, err := c.DecodeJSON(t.Context(), value)
	wantKind(t, err, errs.Hopeless, "no time of day")
}

// In a union of two records that contain the union, a value that does not fit far down would be
// tried 2^30 times.
func TestEncodeJSONTriesSoMuchOnly(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	id := r.add("u", `{"type":"record","name":"top","fields":[{"name":"n","type":["null",
		{"type":"record","name":"a","fields":[{"name":"n","type":["null","a",
			{"type":"record","name":"b","fields":[{"name":"n","type":["null","a","b"]}]}]}]},"b"]}]}`)
	object := strings.Repeat(`{"n":`, 30) + "1" + strings.Repeat("}", 30)
	within(t, func() {
		_, err := r.codec().EncodeJSON(t.Context(), "top", id, []byte(object))
		wantKind(t, err, errs.Invalid, "n.n.n: must be an object")
	})
}

// FuzzDecodeEveryType decodes arbitrary bytes as every type of the catalogue by its own schema. A
// decoded value can be encoded again, and then decodes to the same value.
func FuzzDecodeEveryType(f *testing.F) {
	r := newRegistry(f)
	c := r.codec()
	catalogue := sample.Catalogue().Types()
	if err := c.Register(f.Context(), catalogue...); err != nil {
		f.Fatal(err)
	}
	ids := make([]int, len(catalogue))
	for i, typ := range catalogue {
		value, err := c.Encode(f.Context(), eventtest.Edges(typ)["negative"])
		if err != nil {
			f.Fatal(err)
		}
		if ids[i], err = schema.SchemaID(value); err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), value[5:])
	}
	f.Fuzz(func(t *testing.T, n byte, body []byte) {
		i := int(n) % len(catalogue)
		got, err := c.Decode(t.Context(), catalogue[i], frame(ids[i], body))
		if err != nil {
			if got != nil || errs.KindOf(err) != errs.Hopeless {
				t.Fatalf("event %v and error %v of kind %v", got, err, errs.KindOf(err))
			}
			return
		}
		again, err := c.Encode(t.Context(), got)
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", got, err)
		}
		same, err := c.Decode(t.Context(), catalogue[i], again)
		if err != nil {
			t.Fatalf("% x cannot be decoded: %v", again, err)
		}
		if !cmp.Equal(got, same) {
			t.Fatalf("%+v has become %+v", got, same)
		}
	})
}
