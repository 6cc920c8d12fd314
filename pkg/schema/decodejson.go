package schema

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/twmb/avro"
)

const (
	// maxShown bounds the bytes of names, symbols, numbers of bytes and decimals in the JSON of one
	// value. A schema contains a name once, but the JSON of an array of a hundred thousand items of
	// one byte contains it as often.
	maxShown = 32 << 20
	// maxDecimal bounds the bytes and the scale of a decimal: the time to format one grows with the
	// square of both.
	maxDecimal = 1000
)

// shownValue returns b as JSON in the form of encoding/json. scan must have checked that b is one
// value of the schema.
func shownValue(n *node, b []byte) (object []byte, err error) {
	r := shower{scanner: scanner{rest: b}}
	v, err := r.value(n)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// shower builds values from bytes that scan has accepted, so it does not check them again.
type shower struct {
	scanner
	shown int
}

// charge counts bytes against maxShown.
func (r *shower) charge(n int) error {
	if r.shown += n; r.shown > maxShown {
		return fmt.Errorf("as JSON it is larger than %d bytes", maxShown)
	}
	return nil
}

func (r *shower) value(n *node) (any, error) {
	switch n.kind {
	case kindBoolean:
		b, err := r.take(1)
		return err == nil && b[0] == 1, err
	case kindInt, kindLong:
		return r.number(n)
	case kindFloat:
		b, err := r.take(4)
		if err != nil {
			return nil, err
		}
		return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
	case kindDouble:
		b, err := r.take(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	case kindString:
		b, err := r.sized()
		return string(b), err
	case kindBytes:
		b, err := r.sized()
		if err == nil && n.logical == logicalDecimal {
			return r.decimal(n, b)
		}
		return b, err
	case kindFixed:
		b, err := r.take(int64(n.size))
		if err != nil {
			return nil, err
		}
		return r.fixed(n, b)
	case kindEnum:
		i, err := r.index("a symbol of an enum", len(n.symbols))
		if err != nil {
			return nil, err
		}
		return n.symbols[i], r.charge(len(n.symbols[i]))
	case kindRecord:
		object := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			if err := r.charge(len(f.name)); err != nil {
				return nil, err
			}
			v, err := r.value(f.schema)
			if err != nil {
				return nil, err
			}
			object[f.name] = v
		}
		return object, nil
	case kindArray:
		list := []any{}
		err := r.blocks(func() error {
			v, err := r.value(n.items)
			list = append(list, v)
			return err
		})
		return list, err
	case kindMap:
		object := map[string]any{}
		err := r.blocks(func() error {
			key, err := r.sized()
			if err != nil {
				return err
			}
			object[string(key)], err = r.value(n.items)
			return err
		})
		return object, err
	case kindUnion:
		return r.union(n)
	}
	return nil, nil // null
}

func (r *shower) number(n *node) (any, error) {
	v, err := r.long()
	if err != nil {
		return nil, err
	}
	if t, ok := timeOf(v, n.logical); ok {
		return t, nil
	}
	switch n.logical {
	case logicalTimeMillis:
		return v * int64(time.Millisecond), nil // fits: v is an int
	case logicalTimeMicros:
		if v < math.MinInt64/1000 || v > math.MaxInt64/1000 {
			return nil, fmt.Errorf("%d is no time of day", v)
		}
		return v * int64(time.Microsecond), nil
	}
	return v, nil
}

func (r *shower) decimal(n *node, b []byte) (any, error) {
	if len(b) > maxDecimal || n.scale > maxDecimal {
		return nil, fmt.Errorf("a decimal of %d bytes and scale %d is not shown", len(b), n.scale)
	}
	return avro.RatFromBytes(b, n.scale), r.charge(len(b)*3 + n.scale)
}

func (r *shower) fixed(n *node, b []byte) (any, error) {
	switch n.logical {
	case logicalDecimal:
		return r.decimal(n, b)
	case logicalDuration:
		d := avro.DurationFromBytes(b)
		return struct{ Months, Days, Milliseconds uint32 }{d.Months, d.Days, d.Milliseconds}, nil
	}
	numbers := make([]uint16, len(b)) // as numbers: JSON has base64 for []byte
	for i, c := range b {
		numbers[i] = uint16(c)
	}
	return numbers, r.charge(4 * len(b))
}

// union returns the plain value when JSON distinguishes all types of the union, and {"its type's
// name": value} otherwise.
func (r *shower) union(n *node) (any, error) {
	i, err := r.index("a branch of a union", len(n.branches))
	if err != nil {
		return nil, err
	}
	branch := n.branches[i]
	v, err := r.value(branch)
	if err != nil || branch.kind == kindNull || n.plain() {
		return v, err
	}
	name := branch.branchName()
	return map[string]any{name: v}, r.charge(len(name))
}

// plain reports whether all types of a union are primitive ones with a JSON form.
func (n *node) plain() bool {
	for _, b := range n.branches {
		local := b.logical == logicalLocalMillis || b.logical == logicalLocalMicros
		if b.named() || b.kind == kindArray || b.kind == kindMap || local {
			return false
		}
	}
	return true
}
