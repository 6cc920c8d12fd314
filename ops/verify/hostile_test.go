package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"eventshop.example/pkg/errs"
)

// Tests with text that would control a terminal: move its cursor, set its title, hide what follows,
// or change the text direction.

// nasty returns suffixes that any producer can add to a key, a header, a reason or a name.
func nasty() []string {
	return []string{
		"\x1b[2J\x1b]0;title\x07", "\u009b31m", "\u202etxt.exe", "\u2066", "a\nBREACH I1", "\r", "\t", "\x00", "\xff\xfe", "\xc2", "\u0085", "\u2028", "\ufeff", "\U000e0041",
		strings.Repeat("\x1b", 5000),
	}
}

// lines returns everything that verify prints about the facts.
func lines(f Facts) []string {
	var out []string
	for _, r := range Check(f) {
		out = append(append(out, r.Title, r.Counted), r.Breaches...)
	}
	line, why := Held(f)
	out = append(append(out, line), why...)
	if lacking, ok := errors.AsType[*CannotDecode](Decoded(f)); ok {
		for _, r := range lacking.Registries {
			out = append(out, r.Why...)
		}
		out = append(out, lacking.Error())
	}
	return out
}

// wantPrintable expects only printable characters in the output, whatever text the facts contain.
// Equal texts get equal suffixes, so that related records still match and the same breaches are
// found.
func wantPrintable(t *testing.T, what string, f Facts, endings ...string) {
	t.Helper()
	for _, keep := range [][]string{
		{"Service", "Group", "Topic", "Type", "Status", "State", "Decision", "Kind", "Action", "currency"}, // ids, keys, names, reasons
		{"Service", "Group", "Status", "State", "Decision", "Kind", "Action"},
		nil,
	} {
		for _, ending := range endings {
			spoilt := spoil(reflect.ValueOf(f), "", keep, func(s string) string { return s + ending }).Interface().(Facts)
			spoilt.Rebuilt = Rebuild(heard(spoilt))
			for _, line := range lines(spoilt) {
				if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Fatalf("%s, with %.20q: %.300q", what, ending, line)
				}
				if len(line) > 10_000 {
					t.Fatalf("%s: a line of %d bytes", what, len(line))
				}
			}
		}
	}
}

// spoil copies a value and changes all its text except in the fields to keep.
func spoil(v reflect.Value, field string, keep []string, change func(string) string) reflect.Value {
	switch v.Type() {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[json.Number](), reflect.TypeFor[error](), reflect.TypeFor[Total]():
		return v
	}
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	again := func(v reflect.Value) reflect.Value { return spoil(v, field, keep, change) }
	switch v.Kind() {
	case reflect.String:
		if !slices.Contains(keep, field) {
			out.SetString(change(v.String()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				out.Field(i).Set(spoil(v.Field(i), f.Name, keep, change))
			}
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			break
		}
		if v.Kind() == reflect.Interface {
			out.Set(again(v.Elem()))
			break
		}
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(again(v.Elem()))
	case reflect.Slice:
		if v.IsNil() {
			break
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(again(v.Index(i)))
		}
	case reflect.Map:
		if v.IsNil() {
			break
		}
		out.Set(reflect.MakeMap(v.Type()))
		for _, k := range v.MapKeys() {
			out.SetMapIndex(again(k), again(v.MapIndex(k)))
		}
	}
	return out
}

// TestNothingFromRecordsReachesTheTerminalAsItIs changes every text of the facts, each by itself
// and all together.
func TestNothingFromRecordsReachesTheTerminalAsItIs(t *testing.T) {
	t.Parallel()
	w := soundWorld()
	wantPrintable(t, "a sound world", w.Facts, nasty()...)

	w.Undecoded = []Undecoded{
		{Place: w.Records[0].Place(), Type: "OrderCreated", Service: "order", Registry: "http://registry", SchemaID: 7, Err: errs.New(errs.Hopeless, "the registry says \x1b[2J\xff")},
		{Place: w.Records[0].Place(), Type: "OrderCreated", Group: "payment", Service: "order", Err: errors.New("\u009b\n")},
	}
	wantPrintable(t, "undecoded", w.Facts, nasty()...)

	// A random text among unchanged ones: related records no longer match.
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		share := rng.Float64()
		f := spoil(reflect.ValueOf(soundWorld().Facts), "", nil, func(s string) string {
			if rng.Float64() > share {
				return s
			}
			return s + nasty()[rng.IntN(len(nasty()))]
		}).Interface().(Facts)
		for _, line := range lines(f) {
			if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("seed %d: %.300q", seed, line)
			}
		}
	}
}

// FuzzWhatIsPrinted puts one text into every field.
func FuzzWhatIsPrinted(f *testing.F) {
	for _, s := range nasty() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		facts := spoil(reflect.ValueOf(soundWorld().Facts), "", nil, func(string) string { return s }).Interface().(Facts)
		for _, line := range lines(facts) {
			if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is printed: %.300q", s, line)
			}
		}
	})
}

// TestSpoilSpoils: if spoil did nothing, the tests above would pass.
func TestSpoilSpoils(t *testing.T) {
	t.Parallel()
	n := 0
	f := spoil(reflect.ValueOf(soundWorld().Facts), "", nil, func(s string) string { n++; return s + "\x1b" }).Interface().(Facts)
	for _, text := range []string{
		f.Records[0].Key, f.Records[0].Type, f.Outbox[0].AggregateID, f.Stock[0].SKU, f.Orders[0].ID, f.Ledger[0].Currency, f.DeadLetters[0].Actions[0].Actor,
		f.GivenUp[0].Group, f.Retries[0].Topic, f.Copies[0].Key, f.ParkedKeys[0].Key, f.Answers[0].Key, fmt.Sprint(f.Projection.Orders), fmt.Sprint(f.Records[0].Event),
	} {
		if !strings.Contains(text, `\x1b`) && !strings.Contains(text, "\x1b") {
			t.Errorf("%q is as it was", text)
		}
	}
	if n < 1000 {
		t.Errorf("only %d texts", n)
	}
}
