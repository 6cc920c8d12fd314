package schema_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/schema"
)

// record returns the schema of a record n.R with fields, each "name type [default]" in JSON.
func record(fields ...string) string {
	return `{"type":"record","name":"n.R","fields":[` + strings.Join(fields, ",") + `]}`
}

func field(name, typ string) string { return `{"name":"` + name + `","type":` + typ + `}` }

func defaulted(name, typ, def string) string {
	return `{"name":"` + name + `","type":` + typ + `,"default":` + def + `}`
}

// Each mismatch names its place, and all of them are found.
func TestMismatchesNameTheirPlace(t *testing.T) {
	t.Parallel()
	item := func(price string) string {
		return `{"type":"record","name":"Item","fields":[` + field("sku", `"string"`) + "," + field("price", price) + `]}`
	}
	fixed := func(name, size, more string) string {
		return `{"type":"fixed","name":"` + name + `","size":` + size + more + `}`
	}
	for name, c := range map[string]struct {
		reader, writer string
		want           []string
	}{
		"in a list": {
			record(field("items", `{"type":"array","items":`+item(`"int"`)+`}`)),
			record(field("items", `{"type":"array","items":`+item(`"string"`)+`}`)),
			[]string{"n.R/items[]/price: string cannot be read as int"},
		},
		"in a map": {
			record(field("prices", `{"type":"map","values":"int"}`)), record(field("prices", `{"type":"map","values":"long"}`)),
			[]string{"n.R/prices{}: long cannot be read as int"},
		},
		"several": {
			record(field("a", `"int"`), field("b", `"int"`), field("c", `"int"`)), record(field("a", `"string"`), field("c", `"boolean"`)),
			[]string{
				"n.R/a: string cannot be read as int", "n.R/b: the writer has no such field, and it has no default",
				"n.R/c: boolean cannot be read as int",
			},
		},
		"types of the writer's union": {
			record(field("u", `"long"`)), record(field("u", `["null","int","string"]`)),
			[]string{"n.R/u<null>: null cannot be read as long", "n.R/u<string>: string cannot be read as long"},
		},
		"a type that the reader's union lacks": {
			record(field("u", `["null","int"]`)), record(field("u", `"string"`)),
			[]string{"n.R/u: no type of the reader's union reads string"},
		},
		"a type that the reader's union lacks, of the writer's union": {
			record(field("u", `["null","int"]`)), record(field("u", `["null","int","string"]`)),
			[]string{"n.R/u<string>: no type of the reader's union reads string"},
		},
		"within a record of a union": {
			record(field("u", `["null",`+item(`"int"`)+`]`)), record(field("u", `["null",`+item(`"long"`)+`]`)),
			[]string{"n.R/u<n.Item>/price: long cannot be read as int"},
		},
		"symbols": {
			enum("A"), enum("A", "B", "C"), []string{"e: the reader's enum has no symbol B, C, and no default"},
		},
		"size":  {fixed("f", "2", ""), fixed("f", "3", ""), []string{"f: 3 bytes cannot be read as 2 bytes"}},
		"names": {fixed("f", "2", ""), fixed("g", "2", ""), []string{"f: fixed g cannot be read as fixed f"}},
		"an alias without a namespace is the name in any": {
			`{"type":"fixed","name":"n.g","aliases":["f"],"size":2}`, fixed("m.f", "2", ""), nil,
		},
		"an alias with a namespace is one name": {
			`{"type":"fixed","name":"n.g","aliases":["n.f"],"size":2}`, fixed("m.f", "2", ""), []string{"n.g: fixed m.f cannot be read as fixed n.g"},
		},
		"precision": {
			fixed("f", "2", `,"logicalType":"decimal","precision":3`), fixed("f", "2", `,"logicalType":"decimal","precision":4`),
			[]string{"f: decimal(4,0) cannot be read as decimal(3,0)"},
		},
		"scale": {
			fixed("f", "2", `,"logicalType":"decimal","precision":4,"scale":1`), fixed("f", "2", `,"logicalType":"decimal","precision":4`),
			[]string{"f: decimal(4,0) cannot be read as decimal(4,1)"},
		},
		"unit of a time": {
			timestamp("timestamp-micros"), timestamp("timestamp-millis"),
			[]string{"long: the reader's logical type (timestamp-micros) is not the writer's (timestamp-millis)"},
		},
		"a renamed field, by the reader's name": {
			record(`{"name":"new","aliases":["old"],"type":"int"}`), record(field("old", `"string"`)),
			[]string{"n.R/new: string cannot be read as int"},
		},
		"two fields read as one": {
			record(`{"name":"new","aliases":["old"],"type":"int"}`), record(field("old", `"int"`), field("new", `"int"`)),
			[]string{"n.R/new: the writer's fields old and new would both be read as it"},
		},
		"null is no default unless it is declared": {
			record(field("u", `["null","int"]`)), record(), []string{"n.R/u: the writer has no such field, and it has no default"},
		},
		"a declared null": {record(defaulted("u", `["null","int"]`, "null")), record(), nil},
		"a record that contains itself": {
			record(field("next", `["null","n.R"]`), field("n", `"int"`)), record(field("next", `["null","n.R"]`), field("n", `"long"`)),
			[]string{"n.R/n: long cannot be read as int"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := schema.Mismatches(c.reader, c.writer)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range found {
				got = append(got, m.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The level says which versions are compared, and which of two schemas is the reader.
func TestLevelsCompareWithTheVersionsTheyNeed(t *testing.T) {
	t.Parallel()
	earlier := []schema.Version{
		{Version: 1, Schema: record(field("a", `"string"`))},
		{Version: 2, Schema: record(field("a", `"string"`), defaulted("n", `"int"`, "0"))},
	}
	next := record(field("a", `"string"`), field("n", `"long"`))
	const (
		reads1  = "the new schema cannot read data of version 1: n.R/n: the writer has no such field, and it has no default"
		read2   = "version 2 cannot read data of the new schema: n.R/n: long cannot be read as int"
		nothing = ""
	)
	for level, want := range map[schema.Level]string{
		schema.None: nothing, schema.Backward: nothing, schema.BackwardTransitive: reads1,
		schema.Forward: read2, schema.ForwardTransitive: read2, schema.Full: read2, schema.FullTransitive: reads1 + "; " + read2,
	} {
		if !level.Valid() {
			t.Errorf("%s is no level", level)
		}
		found, err := level.Check(next, earlier)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range found {
			got = append(got, v.String())
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s: %q, want %q", level, got, want)
		}
	}
	if schema.Level("SIDEWAYS").Valid() {
		t.Error("SIDEWAYS is a level")
	}
	_, err := schema.Full.Check("{", earlier)
	wantKind(t, err, errs.Invalid, "reader")
	_, err = schema.Full.Check(next, []schema.Version{{Version: 1, Schema: "{"}})
	wantKind(t, err, errs.Invalid, "writer")
}

func TestUndocumentedDiffersInNothingButDocs(t *testing.T) {
	t.Parallel()
	documented := `{"type":"record","name":"n.R","doc":"D","fields":[{"name":"a","doc":"d","type":{"type":"enum","name":"E","doc":"e","symbols":["A"]}}]}`
	plain := record(field("a", `{"type":"enum","name":"E","symbols":["A"]}`))
	want, err := schema.Undocumented(plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := schema.Undocumented(documented); err != nil || got != want || strings.Contains(got, "doc") {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	if canonical, err := schema.Canonical(plain); err != nil || canonical != want {
		t.Errorf("%s, %v, want %s", canonical, err, want)
	}
	if other, err := schema.Undocumented(record(defaulted("a", `"int"`, "1"))); err != nil || other == want {
		t.Errorf("a default is dropped: %s, %v", other, err)
	}
}

func TestSubjectIsTheRecordsFullName(t *testing.T) {
	t.Parallel()
	if got, err := schema.Subject(`{"type":"record","namespace":"n.v1","name":"R","fields":[]}`); err != nil || got != "n.v1.R" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := schema.Subject(`"int"`)
	wantKind(t, err, errs.Invalid, "not a record")
	_, err = schema.Subject(`{`)
	wantKind(t, err, errs.Invalid, "")
}
