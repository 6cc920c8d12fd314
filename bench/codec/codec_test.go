// Package codec compares the programs' codec, github.com/twmb/avro behind package schema, with
// github.com/hamba/avro, the codec before it: each reads what the other writes, and both are
// measured. No program links the latter, so the package has only tests.
package codec

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hamba/avro/v2"
	"pgregory.net/rapid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/eventtest"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// second is the second codec for one type.
type second struct {
	api    avro.API
	schema avro.Schema
}

func newSecond(t testing.TB, text string) second {
	t.Helper()
	s, err := parseHamba(text)
	if err != nil {
		t.Fatal(err)
	}
	return second{avro.Config{}.Freeze(), s}
}

// parseHamba parses with its own cache: the library's cache has all names ever parsed.
func parseHamba(text string) (avro.Schema, error) {
	return avro.ParseWithCache(text, "", &avro.SchemaCache{})
}

func newCodec(t testing.TB) *schema.Codec {
	t.Helper()
	return schema.NewCodec(schema.NewClient(schematest.Start(t).URL), events.Catalogue())
}

const prefix = 5 // bytes of the wire format before the body

// fails is the common part of testing.T and rapid.T.
type fails interface {
	Helper()
	Fatalf(format string, args ...any)
}

func TestEachReadsWhatTheOtherWrites(t *testing.T) {
	t.Parallel()
	ours := newCodec(t)
	for _, typ := range events.Catalogue().Types() {
		theirs := newSecond(t, typ.Schema)
		compare := func(t fails, name string, want event.Event) {
			t.Helper()
			value, err := ours.Encode(ctx(), want)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			read := typ.New()
			if err := theirs.api.Unmarshal(theirs.schema, value[prefix:], read); err != nil {
				t.Fatalf("%s: the other codec cannot read % x: %v", name, value, err)
			}
			if diff := cmp.Diff(want, read); diff != "" {
				t.Fatalf("%s: the other codec reads (-want +got):\n%s", name, diff)
			}
			body, err := theirs.api.Marshal(theirs.schema, want)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			read, err = ours.Decode(ctx(), typ, append(value[:prefix:prefix], body...))
			if err != nil {
				t.Fatalf("%s: what the other codec writes: %v", name, err)
			}
			if diff := cmp.Diff(want, read); diff != "" {
				t.Fatalf("%s: what the other codec writes is read as (-want +got):\n%s", name, diff)
			}
			if plain := withoutSizes(t, theirs.schema, body); !bytes.Equal(plain, value[prefix:]) {
				t.Fatalf("%s: % x differs in more than its blocks from\n% x", name, value[prefix:], body)
			}
		}
		t.Run(typ.Name, func(t *testing.T) {
			t.Parallel()
			for name, event := range eventtest.Edges(typ) {
				compare(t, name, event)
			}
			rapid.Check(t, func(rt *rapid.T) { compare(rt, "random", eventtest.Draw(rt, typ)) })
		})
	}
}

// withoutSizes merges the blocks of each array into one block without a size.
func withoutSizes(t fails, s avro.Schema, body []byte) []byte {
	t.Helper()
	r := avro.NewReader(nil, 0).Reset(body)
	var out []byte
	var copyValue func(s avro.Schema)
	copyValue = func(s avro.Schema) {
		switch s := s.(type) {
		case *avro.RefSchema:
			copyValue(s.Schema())
		case *avro.RecordSchema:
			for _, f := range s.Fields() {
				copyValue(f.Type())
			}
		case *avro.ArraySchema:
			before, total := out, int64(0)
			out = nil
			for {
				count, _ := r.ReadBlockHeader()
				if count == 0 {
					break
				}
				total += count
				for range count {
					copyValue(s.Items())
				}
			}
			items := out
			out = before
			if total > 0 {
				out = append(binary.AppendVarint(out, total), items...)
			}
			out = append(out, 0)
		default:
			switch s.Type() {
			case avro.String:
				text := r.ReadString()
				out = append(binary.AppendVarint(out, int64(len(text))), text...)
			case avro.Int:
				out = binary.AppendVarint(out, int64(r.ReadInt()))
			case avro.Long:
				out = binary.AppendVarint(out, r.ReadLong())
			default:
				t.Fatalf("the catalogue has a %s, which this test does not know", s.Type())
			}
		}
	}
	copyValue(s)
	if r.Error != nil {
		t.Fatalf("%v", r.Error)
	}
	return out
}

// Both codecs cut a time to microseconds, towards the past.
func TestTimesAreCutToMicroseconds(t *testing.T) {
	t.Parallel()
	ours := newCodec(t)
	theirs := newSecond(t, events.TypeOf[events.OrderPlaced]().Schema)
	rapid.Check(t, func(rt *rapid.T) {
		seconds := rapid.Int64Range(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).Unix())
		at := time.Unix(seconds.Draw(rt, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(rt, "nanoseconds"))
		at = at.In(time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(rt, "zone")))
		event := events.OrderPlaced{OrderID: "o", OccurredAt: at}
		value, err := ours.Encode(ctx(), event)
		if err != nil {
			rt.Fatal(err)
		}
		body, err := theirs.api.Marshal(theirs.schema, event)
		if err != nil || !bytes.Equal(body, value[prefix:]) {
			rt.Fatalf("%s is % x, and by the other codec % x, %v", at, value[prefix:], body, err)
		}
	})
}
