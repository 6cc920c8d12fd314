package schema

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// defaultValue converts a field's default from JSON to the Go types of its schema: nil, bool,
// int64, float32, float64, string, latin1, []any, map[string]any, which has all fields of a record,
// or branchValue.
func defaultValue(n *node, v any) (any, error) {
	switch n.kind {
	case kindNull:
		if v == nil {
			return nil, nil
		}
	case kindBoolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case kindInt, kindLong:
		if number, ok := v.(json.Number); ok {
			return wholeNumber(number, map[string]int{kindInt: 32, kindLong: 64}[n.kind])
		}
	case kindFloat, kindDouble:
		if number, ok := v.(json.Number); ok {
			f, err := number.Float64()
			if n.kind == kindFloat {
				return float32(f), err
			}
			return f, err
		}
	case kindString:
		if s, ok := v.(string); ok {
			return s, nil
		}
	case kindEnum:
		if s, ok := v.(string); ok && slices.Contains(n.symbols, s) {
			return s, nil
		}
	case kindBytes, kindFixed:
		if s, ok := v.(string); ok {
			return latin1Bytes(s, n)
		}
	case kindArray:
		if list, ok := v.([]any); ok {
			return defaultItems(n, list)
		}
	case kindMap:
		if object, ok := v.(map[string]any); ok {
			values := make(map[string]any, len(object))
			for key, item := range object {
				var err error
				if values[key], err = defaultValue(n.items, item); err != nil {
					return nil, err
				}
			}
			return values, nil
		}
	case kindRecord:
		if object, ok := v.(map[string]any); ok {
			return defaultRecord(n, object)
		}
	case kindUnion:
		for i, b := range n.branches {
			if value, err := defaultValue(b, v); err == nil {
				return branchValue{i, value}, nil
			}
		}
	}
	return nil, fmt.Errorf("%v is no %s", v, n.typeName())
}

// wholeNumber also accepts 1e3 and 5.0, which JSON does not distinguish from 1000 and 5.
func wholeNumber(number json.Number, bits int) (int64, error) {
	if n, err := strconv.ParseInt(string(number), 10, bits); err == nil {
		return n, nil
	}
	f, err := number.Float64()
	if limit := math.Ldexp(1, bits-1); err != nil || f != math.Trunc(f) || f < -limit || f >= limit {
		return 0, fmt.Errorf("%s is no whole number of %d bits", number, bits)
	}
	return int64(f), nil
}

func defaultItems(n *node, list []any) (any, error) {
	items := make([]any, len(list))
	for i, item := range list {
		var err error
		if items[i], err = defaultValue(n.items, item); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func defaultRecord(n *node, object map[string]any) (any, error) {
	values := make(map[string]any, len(n.fields))
	for _, f := range n.fields {
		v, given := object[f.name]
		switch {
		case given:
			var err error
			if values[f.name], err = defaultValue(f.schema, v); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		case f.hasDefault:
			values[f.name] = f.value
		default:
			return nil, fmt.Errorf("%s is missing", f.name)
		}
	}
	return values, nil
}

// latin1 is a default of bytes, which JSON writes with one character for each byte.
type latin1 []byte

func latin1Bytes(s string, n *node) (latin1, error) {
	b := latin1{}
	for _, r := range s {
		if r > 255 {
			return nil, fmt.Errorf("%q is no byte", r)
		}
		b = append(b, byte(r))
	}
	if n.kind == kindFixed && len(b) != n.size {
		return nil, fmt.Errorf("%d bytes are no %s", len(b), n.name)
	}
	return b, nil
}

func (b latin1) MarshalJSON() ([]byte, error) {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return json.Marshal(string(runes))
}

// branchValue is a default of the first type of a union that it fits.
type branchValue struct {
	branch int
	value  any
}

func (b branchValue) MarshalJSON() ([]byte, error) { return json.Marshal(b.value) }

// appendDefault appends a value that defaultValue returned in Avro binary.
func appendDefault(b []byte, n *node, v any) []byte {
	switch n.kind {
	case kindBoolean:
		if v.(bool) {
			return append(b, 1)
		}
		return append(b, 0)
	case kindInt, kindLong:
		return binary.AppendVarint(b, v.(int64))
	case kindFloat:
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(v.(float32)))
	case kindDouble:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(v.(float64)))
	case kindString:
		return appendText(b, v.(string))
	case kindBytes:
		return appendText(b, v.(latin1))
	case kindFixed:
		return append(b, v.(latin1)...)
	case kindEnum:
		return binary.AppendVarint(b, int64(slices.Index(n.symbols, v.(string))))
	case kindArray:
		list := v.([]any)
		b = appendCount(b, len(list))
		for _, item := range list {
			b = appendDefault(b, n.items, item)
		}
		return append(b, 0)
	case kindMap:
		object := v.(map[string]any)
		b = appendCount(b, len(object))
		for _, key := range sortedKeys(object) {
			b = appendDefault(appendText(b, key), n.items, object[key])
		}
		return append(b, 0)
	case kindRecord:
		for _, f := range n.fields {
			b = appendDefault(b, f.schema, v.(map[string]any)[f.name])
		}
	case kindUnion:
		chosen := v.(branchValue)
		return appendDefault(binary.AppendVarint(b, int64(chosen.branch)), n.branches[chosen.branch], chosen.value)
	}
	return b // null takes no bytes
}

// appendText appends a text or bytes after their length.
func appendText[T string | latin1 | []byte](b []byte, s T) []byte {
	return append(binary.AppendVarint(b, int64(len(s))), s...)
}

// appendCount begins an array or map of n items: one block, or none, as the library writes it. A
// block of no items ends it.
func appendCount(b []byte, n int) []byte {
	if n == 0 {
		return b
	}
	return binary.AppendVarint(b, int64(n))
}

// plainNumbers replaces the numbers in a JSON value by int64 or float64, so that 1, 1.0 and
// 1e0 are the same.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := wholeNumber(v, 64); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plainNumbers(item)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, item := range v {
			object[key] = plainNumbers(item)
		}
		return object
	}
	return v
}
