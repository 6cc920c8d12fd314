package schema

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/hamba/avro/v2"
)

const (
	// maxDepth bounds nesting, so that a recursive schema cannot exhaust the stack.
	maxDepth = 64
	// maxItems bounds the array and map items of one value. Items without content (null,
	// an empty record) take no bytes, so the input's length alone bounds nothing.
	maxItems = 100_000
)

// Bounds of the times that RFC 3339 and Postgres can both write.
var (
	minTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// scan checks that b is exactly one value of the schema, without building it. The Avro
// library trusts lengths: it allocates what a block announces, loops as often as a count
// says and skips to where a size points. After scan they are all known to be honest.
func scan(s avro.Schema, b []byte) error {
	sc := scanner{rest: b}
	if err := sc.value(s, 0); err != nil {
		return err
	}
	if len(sc.rest) > 0 {
		return fmt.Errorf("%d bytes after the value", len(sc.rest))
	}
	return nil
}

type scanner struct {
	rest  []byte
	items int // items of arrays and maps so far
}

func (sc *scanner) value(s avro.Schema, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch s := deref(s).(type) {
	case *avro.NullSchema:
		return nil
	case *avro.PrimitiveSchema:
		return sc.primitive(s)
	case *avro.RecordSchema:
		for _, f := range s.Fields() {
			if err := sc.value(f.Type(), depth+1); err != nil {
				return fmt.Errorf("%s: %w", f.Name(), err)
			}
		}
		return nil
	case *avro.ArraySchema:
		return sc.blocks(func() error { return sc.value(s.Items(), depth+1) })
	case *avro.MapSchema:
		return sc.blocks(func() error {
			if err := sc.text(); err != nil {
				return fmt.Errorf("key: %w", err)
			}
			return sc.value(s.Values(), depth+1)
		})
	case *avro.UnionSchema:
		i, err := sc.long()
		if err != nil {
			return err
		}
		if i < 0 || i >= int64(len(s.Types())) {
			return fmt.Errorf("%d is not a branch of a union of %d", i, len(s.Types()))
		}
		return sc.value(s.Types()[i], depth+1)
	case *avro.EnumSchema:
		i, err := sc.long()
		if err != nil {
			return err
		}
		if i < 0 || i >= int64(len(s.Symbols())) {
			return fmt.Errorf("%d is not a symbol of an enum of %d", i, len(s.Symbols()))
		}
		return nil
	case *avro.FixedSchema:
		_, err := sc.take(int64(s.Size()))
		return err
	default:
		return fmt.Errorf("unknown kind of schema %s", s.Type())
	}
}

func (sc *scanner) primitive(s *avro.PrimitiveSchema) error {
	switch s.Type() {
	case avro.Null:
		return nil
	case avro.Boolean:
		b, err := sc.take(1)
		if err == nil && b[0] > 1 {
			return fmt.Errorf("%d is not a boolean", b[0])
		}
		return err
	case avro.Int:
		n, err := sc.long()
		if err == nil && (n < math.MinInt32 || n > math.MaxInt32) {
			return fmt.Errorf("%d does not fit an int", n)
		}
		return err
	case avro.Long:
		n, err := sc.long()
		if err != nil {
			return err
		}
		return checkTime(n, logicalType(s))
	case avro.Float:
		_, err := sc.take(4)
		return err
	case avro.Double:
		_, err := sc.take(8)
		return err
	case avro.String:
		return sc.text()
	case avro.Bytes:
		n, err := sc.long()
		if err != nil {
			return err
		}
		_, err = sc.take(n)
		return err
	default:
		return fmt.Errorf("unknown primitive type %s", s.Type())
	}
}

func checkTime(n int64, logical avro.LogicalType) error {
	var t time.Time
	switch logical {
	case avro.TimestampMillis, avro.LocalTimestampMillis:
		t = time.UnixMilli(n)
	case avro.TimestampMicros, avro.LocalTimestampMicros:
		t = time.UnixMicro(n)
	default:
		return nil
	}
	if t.Before(minTime) || !t.Before(maxTime) {
		return fmt.Errorf("%d is a time outside the years 1 to 9999", n)
	}
	return nil
}

// blocks checks an array or a map: blocks of items, each with its count, until one with
// count 0. A negative count is followed by the block's size in bytes.
func (sc *scanner) blocks(item func() error) error {
	for {
		count, err := sc.long()
		if err != nil {
			return err
		}
		if count == 0 {
			return nil
		}
		size := int64(-1)
		if count < 0 {
			count = -count // stays negative for the smallest int64; refused below
			if size, err = sc.long(); err != nil {
				return err
			}
			if size < 0 {
				return fmt.Errorf("block of %d bytes", size)
			}
		}
		if count < 0 || count > int64(maxItems-sc.items) {
			return fmt.Errorf("more than %d items", maxItems)
		}
		sc.items += int(count)
		before := len(sc.rest)
		for i := range count {
			if err := item(); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
		}
		if read := before - len(sc.rest); size >= 0 && size != int64(read) {
			return fmt.Errorf("block says %d bytes and has %d", size, read)
		}
	}
}

// text checks a string: UTF-8 as Avro demands, and no NUL, which Postgres cannot store.
func (sc *scanner) text() error {
	n, err := sc.long()
	if err != nil {
		return err
	}
	b, err := sc.take(n)
	if err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return fmt.Errorf("text is not valid UTF-8")
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return fmt.Errorf("text holds a NUL")
	}
	return nil
}

// long reads a zig-zag encoded integer, which encoding/binary calls a varint too.
func (sc *scanner) long() (int64, error) {
	n, size := binary.Varint(sc.rest)
	if size <= 0 {
		return 0, fmt.Errorf("integer is cut short or too long")
	}
	sc.rest = sc.rest[size:]
	return n, nil
}

func (sc *scanner) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(sc.rest)) {
		return nil, fmt.Errorf("length %d with %d bytes left", n, len(sc.rest))
	}
	b := sc.rest[:n]
	sc.rest = sc.rest[n:]
	return b, nil
}
