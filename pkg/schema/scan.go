package schema

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

const (
	// maxDepth bounds nesting, so that a recursive schema cannot exhaust the stack.
	maxDepth = 64
	// maxItems bounds the array and map items of one value.
	maxItems = 100_000
	// maxEmpty bounds values that take no bytes, because the input's length does not bound them:
	// null, a record without fields, and combinations of these. A record that uses another one
	// twice, which uses another one twice, and so on, contains 2^64 of them within maxDepth.
	maxEmpty = 2 * maxItems
)

// Bounds of the times that both RFC 3339 and Postgres can represent.
var (
	minTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// scan checks that b is exactly one value of the schema, without building it. Lengths, counts and
// block sizes must match the input, numbers must be in range, texts and times must be storable.
// These checks are the codec's bounds, whatever a library checks: time and memory grow with the
// input's length, and not with numbers in the input. Bytes in asText are checked like texts,
// because they are read as texts.
func scan(n *node, b []byte, asText map[*node]bool) error {
	sc := scanner{rest: b, asText: asText}
	if err := sc.value(n, 0); err != nil {
		return err
	}
	if len(sc.rest) > 0 {
		return fmt.Errorf("%d bytes after the value", len(sc.rest))
	}
	return nil
}

type scanner struct {
	rest   []byte
	items  int // items of arrays and maps so far
	empty  int // values that took no bytes so far
	asText map[*node]bool
}

func (sc *scanner) value(n *node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	before := len(sc.rest)
	if err := sc.content(n, depth); err != nil {
		return err
	}
	if len(sc.rest) == before {
		if sc.empty++; sc.empty > maxEmpty {
			return fmt.Errorf("more than %d values that take no bytes", maxEmpty)
		}
	}
	return nil
}

func (sc *scanner) content(n *node, depth int) error {
	switch n.kind {
	case kindNull:
		return nil
	case kindBoolean:
		b, err := sc.take(1)
		if err == nil && b[0] > 1 {
			return fmt.Errorf("%d is not a boolean", b[0])
		}
		return err
	case kindInt, kindLong:
		return sc.number(n)
	case kindFloat:
		_, err := sc.take(4)
		return err
	case kindDouble:
		_, err := sc.take(8)
		return err
	case kindString:
		return sc.text()
	case kindBytes:
		if sc.asText[n] {
			return sc.text()
		}
		_, err := sc.sized()
		return err
	case kindFixed:
		_, err := sc.take(int64(n.size))
		return err
	case kindRecord:
		for _, f := range n.fields {
			if err := sc.value(f.schema, depth+1); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
		return nil
	case kindArray:
		return sc.blocks(func() error { return sc.value(n.items, depth+1) })
	case kindMap:
		return sc.blocks(func() error {
			if err := sc.text(); err != nil {
				return fmt.Errorf("key: %w", err)
			}
			return sc.value(n.items, depth+1)
		})
	case kindUnion:
		i, err := sc.index("a branch of a union", len(n.branches))
		if err != nil {
			return err
		}
		return sc.value(n.branches[i], depth+1)
	case kindEnum:
		_, err := sc.index("a symbol of an enum", len(n.symbols))
		return err
	}
	return fmt.Errorf("unknown kind of schema %s", n.kind)
}

func (sc *scanner) number(n *node) error {
	v, err := sc.long()
	if err != nil {
		return err
	}
	if n.kind == kindInt && (v < math.MinInt32 || v > math.MaxInt32) {
		return fmt.Errorf("%d does not fit an int", v)
	}
	return checkTime(v, n.logical)
}

// index reads which of several alternatives a value is.
func (sc *scanner) index(what string, of int) (int64, error) {
	i, err := sc.long()
	if err != nil {
		return 0, err
	}
	if i < 0 || i >= int64(of) {
		return 0, fmt.Errorf("%d is not %s of %d", i, what, of)
	}
	return i, nil
}

func checkTime(v int64, logical string) error {
	if t, ok := timeOf(v, logical); ok && (t.Before(minTime) || !t.Before(maxTime)) {
		return fmt.Errorf("%d is a time outside the years 1 to 9999", v)
	}
	return nil
}

// timeOf converts a number of a logical type to a time in UTC. A local time has no zone; it is
// treated as UTC.
func timeOf(v int64, logical string) (t time.Time, ok bool) {
	switch logical {
	case logicalMillis, logicalLocalMillis:
		return time.UnixMilli(v).UTC(), true
	case logicalMicros, logicalLocalMicros:
		return time.UnixMicro(v).UTC(), true
	case logicalDate:
		return time.Unix(v*secondsPerDay, 0).UTC(), true // v fits an int
	}
	return t, false
}

const secondsPerDay = 24 * 60 * 60

// blocks checks an array or a map: blocks of items, each with its count, up to a block with count
// 0. A negative count is followed by the block's size in bytes.
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

// text checks a string: UTF-8 as Avro requires, and no NUL, which Postgres cannot store.
func (sc *scanner) text() error {
	b, err := sc.sized()
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

// sized reads bytes after their length.
func (sc *scanner) sized() ([]byte, error) {
	n, err := sc.long()
	if err != nil {
		return nil, err
	}
	return sc.take(n)
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
