package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/avro"
	"pgregory.net/rapid"
)

// The comparison finds a mismatch if and only if the library, which reads the data, refuses the
// pair. Logical types are left out: there the comparison is stricter.
func TestComparisonAgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	agreed := map[bool]int{}
	rapid.Check(t, func(rt *rapid.T) {
		for range 50 { // many: few pairs have a rule that decides alone
			reader, writer := parseDrawn(rt), parseDrawn(rt)
			if reader == nil || writer == nil {
				continue
			}
			found := comparePairs(reader.root, writer.root, true).found
			err := avro.CheckCompatibility(writer.library, reader.library)
			if (len(found) == 0) != (err == nil) {
				rt.Fatalf("reader %s\nwriter %s\nours %v\nthe library's %v", text(reader), text(writer), found, err)
			}
			agreed[err == nil]++
		}
	})
	if agreed[true] == 0 || agreed[false] == 0 {
		t.Errorf("only one verdict was seen: %v", agreed)
	}
}

func text(s *parsed) string {
	c, err := s.root.canonical(true)
	if err != nil {
		return err.Error()
	}
	return c
}

// parseDrawn draws a record whose fields are often compatible with those of the next one; nil for
// one that is not valid, such as a union with the same type twice.
func parseDrawn(t *rapid.T) *parsed {
	defined := map[string]bool{}
	s, err := parse(drawRecord(t, defined, "n.R", 0))
	if err != nil {
		return nil
	}
	return s
}

func drawRecord(t *rapid.T, defined map[string]bool, name string, depth int) string {
	defined[name] = true
	var fields []string
	used := map[string]bool{}
	for range rapid.IntRange(0, 3).Draw(t, "fields") {
		f := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "field")
		if used[f] {
			continue
		}
		used[f] = true
		typ := drawType(t, defined, depth+1)
		more := rapid.SampledFrom([]string{"", "", `,"aliases":["z"]`, `,"aliases":["d","b"]`}).Draw(t, "aliases")
		if def := map[string]string{`"int"`: "1", `"string"`: `"x"`, `["null","int"]`: "null"}[typ]; def != "" && rapid.Bool().Draw(t, "default") {
			more += `,"default":` + def
		}
		fields = append(fields, fmt.Sprintf(`{"name":%q,"type":%s%s}`, f, typ, more))
	}
	return fmt.Sprintf(`{"type":"record","name":%q,"fields":[%s]%s}`, name, strings.Join(fields, ","), drawAliases(t))
}

func drawAliases(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "", `,"aliases":["S"]`, `,"aliases":["m.S"]`, `,"aliases":["n.T"]`}).Draw(t, "aliases")
}

func drawType(t *rapid.T, defined map[string]bool, depth int) string {
	const simple = 8
	most := simple + 5
	if depth > 3 {
		most = simple
	}
	k := rapid.IntRange(0, most).Draw(t, "type")
	if k < simple {
		return []string{`"null"`, `"int"`, `"long"`, `"float"`, `"double"`, `"string"`, `"bytes"`, `["null","int"]`}[k]
	}
	name := rapid.SampledFrom([]string{"n.S", "m.S", "n.T"}).Draw(t, "name")
	if k > simple+2 && defined[name] {
		return fmt.Sprintf("%q", name)
	}
	switch k {
	case simple:
		return `{"type":"array","items":` + drawType(t, defined, depth+1) + `}`
	case simple + 1:
		return `{"type":"map","values":` + drawType(t, defined, depth+1) + `}`
	case simple + 2:
		var branches []string
		for range rapid.IntRange(1, 3).Draw(t, "branches") {
			branches = append(branches, drawType(t, defined, depth+1))
		}
		return "[" + strings.Join(branches, ",") + "]"
	case simple + 3:
		defined[name] = true
		symbols := rapid.SampledFrom([]string{`["A"]`, `["A","B"]`, `["A"],"default":"A"`}).Draw(t, "symbols")
		return fmt.Sprintf(`{"type":"enum","name":%q,"symbols":%s%s}`, name, symbols, drawAliases(t))
	case simple + 4:
		defined[name] = true
		return fmt.Sprintf(`{"type":"fixed","name":%q,"size":%d%s}`, name, rapid.IntRange(1, 2).Draw(t, "size"), drawAliases(t))
	default:
		return drawRecord(t, defined, name, depth)
	}
}
