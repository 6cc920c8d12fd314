// Package eventtest creates events of any type for tests, with random values and with values that
// are known to break codecs.
package eventtest

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"pgregory.net/rapid"

	"eventshop.example/pkg/event"
)

// Bounds of the times that an event may contain.
var (
	first = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	last  = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
)

// Draw returns a pointer to an event of the type, with random texts, numbers and times in whole
// microseconds, and with lists of up to three items, sometimes of up to 250.
func Draw(t *rapid.T, typ event.Type) event.Event {
	text := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 }))
	return fill(typ, values{
		text:   func() string { return text.Draw(t, "text") },
		int:    func() int32 { return rapid.Int32().Draw(t, "int") },
		long:   func() int64 { return rapid.Int64().Draw(t, "long") },
		time:   func() int64 { return rapid.Int64Range(first.UnixMicro(), last.UnixMicro()).Draw(t, "time") },
		length: func() int { return rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 250)).Draw(t, "length") },
	})
}

// Edges returns events of the type whose texts, numbers, times and lists are all at one edge. The
// keys are the names of the edges.
func Edges(typ event.Type) map[string]event.Event {
	same := func(text string, i int32, l int64, at time.Time, length int) event.Event {
		return fill(typ, values{
			text:   func() string { return text },
			int:    func() int32 { return i },
			long:   func() int64 { return l },
			time:   at.UnixMicro,
			length: func() int { return length },
		})
	}
	return map[string]event.Event{
		"least":    same("", math.MinInt32, math.MinInt64, first, 0),
		"most":     same(strings.Repeat("ä€𝄞", 8), math.MaxInt32, math.MaxInt64, last, 101), // 72 bytes: a length of two
		"nothing":  same("0", 0, 0, time.Unix(0, 0), 1),
		"negative": same("\x01\t\n\r\"\\<>&\u007f\u2028\ufeff\ufffd", -1, -1, time.UnixMicro(-1), 3),
		"varint 1": same(strings.Repeat("x", 63), 63, -64, time.UnixMicro(63), 100),
		"varint 2": same(strings.Repeat("x", 64), 64, -65, time.UnixMicro(-65), 2),
		"varint 5": same("x", 1<<30, 1<<34, time.UnixMicro(1<<34-1), 64),
		"float":    same("x", 1<<24+1, 1<<53+1, time.UnixMicro(1<<53+1), 2), // no float represents these
	}
}

// values are the sources of an event's values.
type values struct {
	text   func() string
	int    func() int32
	long   func() int64
	time   func() int64 // microseconds since 1970
	length func() int   // of a list
}

func fill(typ event.Type, from values) event.Event {
	e := typ.New()
	from.into(reflect.ValueOf(e).Elem())
	return e
}

func (from values) into(v reflect.Value) {
	switch target := v.Addr().Interface().(type) {
	case *string:
		*target = from.text()
		return
	case *int32:
		*target = from.int()
		return
	case *int64:
		*target = from.long()
		return
	case *time.Time:
		*target = time.UnixMicro(from.time()).UTC()
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			from.into(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), from.length(), 256))
		for i := range v.Len() {
			from.into(v.Index(i))
		}
	default:
		panic(fmt.Sprintf("eventtest: an event has a %s, which no test draws yet", v.Type()))
	}
}
