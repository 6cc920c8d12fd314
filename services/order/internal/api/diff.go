package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/order/order"
)

// diffOf returns the fields in which the API's representations of two versions differ, in the order of
// their names. An object or an item that only one of them has is one change.
func diffOf(from, to order.Order) ([]FieldChange, error) {
	before, err := tree(from)
	if err != nil {
		return nil, err
	}
	after, err := tree(to)
	if err != nil {
		return nil, err
	}
	delete(before, "version")
	delete(after, "version")
	return compare([]FieldChange{}, "", before, after)
}

// tree is the order's representation as objects, arrays and exact numbers.
func tree(o order.Order) (map[string]any, error) {
	b, err := json.Marshal(view(o))
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode order "+o.ID)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "decode order "+o.ID)
	}
	return fields, nil
}

// compare appends the changes between two values of the field. nil is a field that is missing: the
// representation has no null.
func compare(changes []FieldChange, field string, before, after any) ([]FieldChange, error) {
	if a, ok := before.(map[string]any); ok {
		if b, ok := after.(map[string]any); ok {
			names := maps.Clone(a)
			maps.Copy(names, b)
			for _, name := range slices.Sorted(maps.Keys(names)) {
				at := name
				if field != "" {
					at = field + "." + name
				}
				var err error
				if changes, err = compare(changes, at, a[name], b[name]); err != nil {
					return nil, err
				}
			}
			return changes, nil
		}
	}
	if a, ok := before.([]any); ok {
		if b, ok := after.([]any); ok {
			for i := range max(len(a), len(b)) {
				var err error
				if changes, err = compare(changes, fmt.Sprintf("%s[%d]", field, i), element(a, i), element(b, i)); err != nil {
					return nil, err
				}
			}
			return changes, nil
		}
	}
	if reflect.DeepEqual(before, after) {
		return changes, nil
	}
	old, err := value(before)
	if err != nil {
		return nil, err
	}
	replaced, err := value(after)
	return append(changes, FieldChange{Field: field, Old: old, New: replaced}), err
}

func element(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

// value returns the JSON of a value; nil for a field that is missing.
func value(v any) (*json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode a field")
	}
	return (*json.RawMessage)(&b), nil
}
