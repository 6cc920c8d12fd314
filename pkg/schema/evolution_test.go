package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

// Bytes that are read as a text are checked like a text.
func TestBytesReadAsATextAreChecked(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	typ := sample.TypeOf[sample.ParcelReturned]()
	for name, fieldType := range map[string]string{
		"bytes":            `"bytes"`,
		"in a union":       `["bytes"]`,
		"in another union": `["string","bytes"]`,
	} {
		id := r.add("s", cancelled(parcelID, `{"name":"reason","type":`+fieldType+`}`, `{"name":"raw","type":"bytes"}`, occurredAt))
		body := func(reason string) []byte {
			var branch []byte
			if n := strings.Count(fieldType, `"`); fieldType[0] == '[' {
				branch = long(int64(n/2 - 1)) // the last one
			}
			return frame(id, join([]byte("\x02o"), branch, long(int64(len(reason))), []byte(reason), []byte("\x02\xff"), long(1)))
		}
		e, err := c.Decode(t.Context(), typ, body("né"))
		if err != nil || e.(*sample.ParcelReturned).Reason != "né" {
			t.Errorf("%s: %v, %v", name, e, err)
		}
		_, err = c.Decode(t.Context(), typ, body("a\x00"))
		wantKind(t, err, errs.Hopeless, "text holds a NUL")
		_, err = c.Decode(t.Context(), typ, body("a\xff"))
		wantKind(t, err, errs.Hopeless, "not valid UTF-8")
	}
}

// A logical type may not change, wherever it occurs.
func TestLogicalTypesMayNotChange(t *testing.T) {
	t.Parallel()
	millis, micros := timestamp("timestamp-millis"), timestamp("timestamp-micros")
	record := func(fieldType string) string {
		return `{"type":"record","name":"r","fields":[{"name":"f","type":` + fieldType + `}]}`
	}
	renamed := func(fieldType string) string {
		return `{"type":"record","name":"r","fields":[{"name":"g","aliases":["x","f"],"type":` + fieldType + `}]}`
	}
	fixed := func(logical string) string {
		return `{"type":"fixed","name":"f","size":12` + logical + `}`
	}
	for _, c := range []struct {
		name, reader, writer string
		ok                   bool
	}{
		{"itself", micros, millis, false},
		{"dropped", `"long"`, millis, false},
		{"added", millis, `"long"`, false},
		{"local", timestamp("local-timestamp-millis"), millis, false},
		{"of a field", record(micros), record(millis), false},
		{"of a renamed field", renamed(micros), record(millis), false},
		{"of a renamed field, the same", renamed(millis), record(millis), true},
		{"of a map", `{"type":"map","values":` + micros + `}`, `{"type":"map","values":` + millis + `}`, false},
		{"within unions", `["null",` + micros + `]`, `["null",` + millis + `]`, false},
		{"within unions, the same", `["null",` + micros + `]`, `[` + micros + `,"null"]`, true},
		{"of a reader's union", `["null",` + micros + `]`, millis, false},
		{"of a reader's union, the same", `["null",` + micros + `]`, micros, true},
		{"of a writer's union", micros, `[` + millis + `]`, false},
		{"of a list in a union", `["null",` + list("timestamp-micros") + `]`, `["null",` + list("timestamp-millis") + `]`, false},
		{"of a record in a union", `["null",` + record(micros) + `]`, `["null",` + record(millis) + `]`, false},
		{"beside another record", `[` + record(micros) + `,"null"]`, `["null",` + record(micros) + `]`, true},
		{"of records with the same fields", `[` + record(micros) + `,` + strings.Replace(record(millis), `"r"`, `"q"`, 1) + `]`, `[` + record(micros) + `,` + strings.Replace(record(millis), `"r"`, `"q"`, 1) + `]`, true},
		{"an int that is read as a time", micros, `"int"`, false},
		{"a time of day that is read in another unit", `{"type":"long","logicalType":"time-micros"}`, `{"type":"int","logicalType":"time-millis"}`, false},
		{"a date that is read as a number", `"long"`, `{"type":"int","logicalType":"date"}`, false},
		{"a decimal that is read as a text", `"string"`, `{"type":"bytes","logicalType":"decimal","precision":4}`, false},
		{"one that has no meaning", `{"type":"long","logicalType":"timestamp-nanos"}`, `"long"`, true},
		{"one that its type cannot have", `{"type":"int","logicalType":"timestamp-millis"}`, `"int"`, true},
		{"duration", fixed(`,"logicalType":"duration"`), fixed(""), false},
		{"decimal", fixed(`,"logicalType":"decimal","precision":4`), fixed(""), false},
		{"scale", fixed(`,"logicalType":"decimal","precision":4`), fixed(`,"logicalType":"decimal","precision":4,"scale":1`), false},
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
}

const defaultsOfEveryKind = `{"type":"record","name":"a.Defaults","fields":[
	{"name":"flag","type":"boolean","default":true},{"name":"off","type":"boolean","default":false},
	{"name":"int","type":"int","default":-7},{"name":"long","type":"long","default":9007199254740993},
	{"name":"thousand","type":"long","default":1e3},
	{"name":"float","type":"float","default":0.1},{"name":"double","type":"double","default":1e300},
	{"name":"text","type":"string","default":"né"},{"name":"bytes","type":"bytes","default":"\u0000\u00ff"},
	{"name":"fixed","type":{"type":"fixed","name":"Two","size":2},"default":"\u00fe\u0001"},
	{"name":"enum","type":{"type":"enum","name":"E","symbols":["A","B"]},"default":"B"},
	{"name":"list","type":{"type":"array","items":"int"},"default":[1,2]},
	{"name":"map","type":{"type":"map","values":"string"},"default":{"b":"2","a":"1"}},
	{"name":"record","type":{"type":"record","name":"In","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":5}]},"default":{"x":4}},
	{"name":"null","type":["null","string"],"default":null},{"name":"first","type":["string","null"],"default":"one"},
	{"name":"second","type":["string","long"],"default":2},
	{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"default":1000000},
	{"name":"missing","type":["null","int"]}
]}`

// An omitted field has its default, of every kind, and the canonical form keeps the default.
func TestDefaultsOfEveryKind(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	canonical, err := schema.Canonical(defaultsOfEveryKind)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{defaultsOfEveryKind, canonical} {
		value, err := c.EncodeJSON(t.Context(), "", r.add("defaults", text), []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := c.DecodeJSON(t.Context(), value)
		want := `{"at":"1970-01-01T00:00:01Z","bytes":"AP8=","double":1e+300,"enum":"B","first":"one","fixed":[254,1],"flag":true,` +
			`"float":0.1,"int":-7,"list":[1,2],"long":9007199254740993,"map":{"a":"1","b":"2"},"missing":null,"null":null,"off":false,` +
			`"record":{"x":4,"y":5},"second":2,"text":"né","thousand":1000}`
		if err != nil || string(got) != want {
			t.Errorf("%v\n%s\nwant\n%s", err, got, want)
		}
	}
	for _, want := range []string{
		`"default":9007199254740993`, `"default":1000`, "\"default\":\"\\u0000ÿ\"", `"default":{"x":4,"y":5}`, `"default":{"a":"1","b":"2"}`, `"default":0.1`,
	} {
		if !strings.Contains(canonical, want) {
			t.Errorf("no %s in %s", want, canonical)
		}
	}
}

func TestDefaultsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		`"type":"int","default":2147483648`, `"type":"int","default":1.5`, `"type":"long","default":9223372036854775808`, `"type":"int","default":"1"`,
		`"type":"string","default":null`, `"type":"boolean","default":0`, `"type":"null","default":false`, `"type":"bytes","default":"Ā"`,
		`"type":{"type":"fixed","name":"F","size":2},"default":"a"`, `"type":{"type":"enum","name":"E","symbols":["A"]},"default":"B"`,
		`"type":{"type":"array","items":"int"},"default":["a"]`, `"type":{"type":"map","values":"int"},"default":{"k":"a"}`,
		`"type":{"type":"record","name":"In","fields":[{"name":"x","type":"int"}]},"default":{}`, `"type":["null","int"],"default":"a"`,
		`"type":"double","default":1e400`,
	} {
		_, err := schema.Canonical(`{"type":"record","name":"r","fields":[{"name":"f",` + bad + `}]}`)
		if err == nil {
			t.Errorf("%s was accepted", bad)
			continue
		}
		wantKind(t, err, errs.Invalid, "parse schema")
	}
}

// Registries distinguish versions by the form: names, order and spelling of all attributes are
// fixed.
func TestCanonicalFormOfEveryAttribute(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		` "int" `: `"int"`,
		`{"type":"string","x":{"b":[1.0,"<"],"a":null}}`:                                 `{"type":"string","x":{"a":null,"b":[1,"\u003c"]}}`,
		`{"precision":4,"logicalType":"decimal","type":"bytes"}`:                         `{"type":"bytes","logicalType":"decimal","precision":4}`,
		`{"precision":4,"scale":2,"logicalType":"decimal","type":"bytes"}`:               `{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`,
		`{"type":"int","logicalType":"timestamp-millis"}`:                                `{"type":"int","logicalType":"timestamp-millis"}`,
		`{"type":"long","scale":2,"logicalType":"timestamp-millis"}`:                     `{"type":"long","logicalType":"timestamp-millis","scale":2}`,
		`{"type":"fixed","size":12,"name":"a.D","logicalType":"duration"}`:               `{"name":"a.D","type":"fixed","size":12,"logicalType":"duration"}`,
		`{"type":"fixed","size":16,"name":"D","logicalType":"uuid","doc":"d"}`:           `{"name":"D","type":"fixed","size":16,"doc":"d","logicalType":"uuid"}`,
		`{"items":"int","type":"array","x":1}`:                                           `{"type":"array","items":"int","x":1}`,
		`{"values":["null","int"],"type":"map"}`:                                         `{"type":"map","values":["null","int"]}`,
		`{"symbols":["A"],"type":"enum","name":"E","default":"A","doc":"d"}`:             `{"name":"E","doc":"d","type":"enum","symbols":["A"],"default":"A"}`,
		`{"type":"error","name":"E","fields":[]}`:                                        `{"name":"E","type":"error","fields":[]}`,
		`{"type":"record","name":"R","namespace":"n","aliases":["S","m.T"],"fields":[]}`: `{"name":"n.R","aliases":["n.S","m.T"],"type":"record","fields":[]}`,
		`{"type":"record","name":"m.R","namespace":"n","fields":[{"type":"R","name":"a","order":"ascending"},{"type":"m.R","name":"b","order":"ignore","doc":"d","aliases":["c"],"y":2}]}`: `{"name":"m.R","type":"record","fields":[{"name":"a","type":"m.R"},{"name":"b","aliases":["c"],"doc":"d","type":"m.R","order":"ignore","y":2}]}`,
		`{"type":"record","name":"n.R","fields":[{"name":"a","type":{"type":"enum","name":"E","namespace":"","symbols":["A"]}},{"name":"b","type":["null","E"]}]}`:                         `{"name":"n.R","type":"record","fields":[{"name":"a","type":{"name":"E","namespace":"","type":"enum","symbols":["A"]}},{"name":"b","type":["null","E"]}]}`,
	} {
		got, err := schema.Canonical(text)
		if err != nil || got != want {
			t.Errorf("%s\nis   %s, %v\nwant %s", text, got, err, want)
			continue
		}
		if again, err := schema.Canonical(got); err != nil || again != got {
			t.Errorf("%s becomes %s, %v", got, again, err)
		}
	}
}

// DecodeJSON's form of a union is sufficient for EncodeJSON, whatever the types.
func TestUnionsInJSON(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	for _, u := range []struct {
		schema string
		body   []byte
		want   string
	}{
		{`["null","string"]`, join(long(1), long(1), []byte("x")), `"x"`},
		{`["null","string"]`, long(0), `null`},
		{`["null",` + timestamp("timestamp-micros") + `]`, join(long(1), long(1)), `"1970-01-01T00:00:00.000001Z"`},
		{`["null",` + timestamp("local-timestamp-millis") + `]`, join(long(1), long(1)), `{"long.local-timestamp-millis":"1970-01-01T00:00:00.001Z"}`},
		{`["string",` + timestamp("timestamp-millis") + `,{"type":"array","items":"int"}]`, join(long(1), long(1)), `{"long.timestamp-millis":"1970-01-01T00:00:00.001Z"}`},
		{`["string",` + timestamp("timestamp-millis") + `,{"type":"array","items":"int"}]`, join(long(2), long(1), long(7), []byte{0}), `{"array":[7]}`},
		{`["int","long",{"type":"map","values":"int"}]`, join(long(1), long(7)), `{"long":7}`},
		{`["int",{"type":"enum","name":"a.E","symbols":["A"]}]`, join(long(1), long(0)), `{"a.E":"A"}`},
	} {
		record := fmt.Sprintf(`{"type":"record","name":"r","fields":[{"name":"u","type":%s}]}`, u.schema)
		value := frame(r.add("u", record), u.body)
		object, _, err := c.DecodeJSON(t.Context(), value)
		if want := `{"u":` + u.want + `}`; err != nil || string(object) != want {
			t.Errorf("%s: %s, %v, want %s", u.schema, object, err, want)
			continue
		}
		id, err := schema.SchemaID(value)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := c.EncodeJSON(t.Context(), "r", id, object); err != nil || string(again) != string(value) {
			t.Errorf("%s: %s becomes % x, %v, want % x", u.schema, object, again, err, value)
		}
	}
}
