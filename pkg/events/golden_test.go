package events_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/eventtest"
	"eventshop.example/pkg/events"
)

// golden is a file of testdata/golden: the records of one type as they are on the topics. The files
// were written with github.com/hamba/avro/v2, which programs linked before, and must not change:
// topics keep their records for ever, so this build must read them.
type golden struct {
	Schema  string // as it was registered
	Records []goldenRecord
}

type goldenRecord struct {
	Name   string
	Body   string          // in Avro binary, without the wire format's prefix, hexadecimal
	Event  json.RawMessage // the Go struct, by its field names
	Object json.RawMessage // what DecodeJSON returns
}

// goldenFile returns the file of a version of a type's schema, from 1.
func goldenFile(typ event.Type, version int) string {
	name := typ.Name
	if version > 1 {
		name += "." + strconv.Itoa(version)
	}
	return filepath.Join("testdata", "golden", name+".json")
}

// readGolden returns the records of a type, one golden per version of its schema, the oldest first.
func readGolden(t *testing.T, typ event.Type) []golden {
	t.Helper()
	var all []golden
	for len(all) == 0 || all[len(all)-1].Schema != typ.Schema {
		file := goldenFile(typ, len(all)+1)
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && os.Getenv("WRITE_GOLDEN") != "" {
			writeGolden(t, typ, file)
			content, err = os.ReadFile(file)
		}
		if err != nil {
			t.Fatalf("%v: no golden file has the present schema. Run this test with WRITE_GOLDEN=1 once a type or a version is new", err)
		}
		var g golden
		if err := json.Unmarshal(content, &g); err != nil {
			t.Fatal(err)
		}
		if len(g.Records) < 8 {
			t.Fatalf("%s has %d records", file, len(g.Records))
		}
		all = append(all, g)
	}
	return all
}

// writeGolden writes the file of a version that has none.
func writeGolden(t *testing.T, typ event.Type, file string) {
	t.Helper()
	c := newRegistry(t).codec()
	all := eventtest.Edges(typ)
	random := rapid.Custom(func(rt *rapid.T) event.Event { return eventtest.Draw(rt, typ) })
	for seed := range 4 {
		all["random "+string(rune('a'+seed))] = random.Example(seed)
	}
	g := golden{Schema: typ.Schema}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value, err := c.Encode(t.Context(), all[name])
		if err != nil {
			t.Fatal(name, err)
		}
		event, err := c.Decode(t.Context(), typ, value)
		if err != nil {
			t.Fatal(name, err)
		}
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatal(name, err)
		}
		object, _, err := c.DecodeJSON(t.Context(), value)
		if err != nil {
			t.Fatal(name, err)
		}
		g.Records = append(g.Records, goldenRecord{Name: name, Body: hex.EncodeToString(value[5:]), Event: text, Object: object})
	}
	content, err := json.MarshalIndent(g, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(content, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenSchemasAreRegisteredUnchanged(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	if err := r.codec().Register(t.Context(), events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	registered := r.schemas()
	for _, typ := range events.Catalogue().Types() {
		versions := readGolden(t, typ)
		if want := versions[len(versions)-1].Schema; !slices.Contains(registered, want) {
			t.Errorf("%s is registered with another schema than before, which makes a new version:\n%s\nwant\n%s", typ.Name, typ.Schema, want)
		}
	}
}

func TestGoldenRecordsDecodeToEqualValues(t *testing.T) {
	t.Parallel()
	for _, typ := range events.Catalogue().Types() {
		for i, g := range readGolden(t, typ) {
			t.Run(fmt.Sprintf("%s version %d", typ.Name, i+1), func(t *testing.T) {
				t.Parallel()
				g.check(t, typ)
			})
		}
	}
}

// check decodes the records of one version with the present schema, and encodes them again if the two
// are the same.
func (g golden) check(t *testing.T, typ event.Type) {
	r := newRegistry(t)
	c := r.codec()
	id := r.add(typ.Subject, g.Schema)
	for _, record := range g.Records {
		body, err := hex.DecodeString(record.Body)
		if err != nil {
			t.Fatal(err)
		}
		value := append([]byte{0, 0, 0, 0, byte(id)}, body...)
		got, err := c.Decode(t.Context(), typ, value)
		if err != nil {
			t.Fatalf("%s: %v", record.Name, err)
		}
		want := typ.New()
		if err := json.Unmarshal(record.Event, want); err != nil {
			t.Fatal(err)
		}
		if created, ok := want.(*events.OrderCreated); ok && created.SagaStyle == "" && g.Schema != typ.Schema {
			created.SagaStyle = "choreographed" // version 1 lacks the field
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", record.Name, diff)
		}
		object, subject, err := c.DecodeJSON(t.Context(), value)
		var compact bytes.Buffer
		if err := errors.Join(err, json.Compact(&compact, record.Object)); err != nil {
			t.Fatalf("%s: %v", record.Name, err)
		}
		if subject != typ.Subject || !bytes.Equal(object, compact.Bytes()) {
			t.Errorf("%s as JSON is of %s\n%s\nwant\n%s", record.Name, subject, object, compact.Bytes())
		}
		if g.Schema != typ.Schema {
			continue
		}
		again, err := c.Encode(t.Context(), got)
		if err != nil {
			t.Fatalf("%s: %v", record.Name, err)
		}
		if want := singleBlocks(t, g.Schema, body); !bytes.Equal(singleBlocks(t, g.Schema, again[5:]), want) {
			t.Errorf("%s is encoded as\n%x, which differs in more than its blocks from\n%x", record.Name, again[5:], body)
		}
	}
}

// singleBlocks rewrites a body so that each array is one block without a size. Two bodies that are
// equal afterwards differ at most in the headers of blocks.
func singleBlocks(t *testing.T, schema string, body []byte) []byte {
	t.Helper()
	var parsed any
	if err := json.Unmarshal([]byte(schema), &parsed); err != nil {
		t.Fatal(err)
	}
	n := normalizer{t: t, rest: body, named: map[string]any{}}
	n.value(parsed)
	if len(n.rest) > 0 {
		t.Fatalf("%d bytes after the value", len(n.rest))
	}
	return n.out
}

// normalizer supports the parts of Avro that the catalogue uses. It does not depend on package
// schema.
type normalizer struct {
	t         *testing.T
	rest, out []byte
	named     map[string]any // records met so far
}

func (n *normalizer) long() int64 {
	v, size := binary.Varint(n.rest)
	if size <= 0 {
		n.t.Fatalf("no integer in % x", n.rest)
	}
	n.rest = n.rest[size:]
	return v
}

func (n *normalizer) value(schema any) {
	kind, object := schema, map[string]any{}
	if m, ok := schema.(map[string]any); ok {
		kind, object = m["type"], m
	}
	switch kind {
	case "record":
		n.named[object["name"].(string)] = object
		for _, f := range object["fields"].([]any) {
			n.value(f.(map[string]any)["type"])
		}
	case "array":
		items := normalizer{t: n.t, rest: n.rest, named: n.named}
		total := int64(0)
		for count := items.long(); count != 0; count = items.long() {
			if count < 0 {
				count = -count
				items.long()
			}
			total += count
			for range count {
				items.value(object["items"])
			}
		}
		n.rest = items.rest
		if total > 0 {
			n.out = append(binary.AppendVarint(n.out, total), items.out...)
		}
		n.out = append(n.out, 0)
	case "string":
		length := n.long()
		n.out = append(binary.AppendVarint(n.out, length), n.rest[:length]...)
		n.rest = n.rest[length:]
	case "int", "long":
		n.out = binary.AppendVarint(n.out, n.long())
	default:
		named, ok := n.named[kind.(string)]
		if !ok {
			n.t.Fatalf("the catalogue has a type this test does not know: %v", kind)
		}
		n.value(named)
	}
}
