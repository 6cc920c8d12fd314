package schema

import (
	"encoding/binary"
	"math"

	"eventshop.example/pkg/errs"
)

const (
	// magic is the first byte of every value in Confluent's wire format.
	magic = 0
	// prefixLen is the magic byte and the 4 bytes of the schema id.
	prefixLen = 5
)

// frame puts the wire format's prefix before an Avro body.
func frame(id int, body []byte) []byte {
	b := make([]byte, prefixLen, prefixLen+len(body))
	b[0] = magic
	binary.BigEndian.PutUint32(b[1:], uint32(id)) // ids come from unframe or the registry: int32
	return append(b, body...)
}

// unframe removes the wire format's prefix. Registries number schemas with positive 32-bit
// integers, so it refuses other ids without a request.
func unframe(b []byte) (id int, body []byte, err error) {
	if len(b) < prefixLen {
		return 0, nil, errs.New(errs.Hopeless, "value of %d bytes is shorter than the wire format's prefix", len(b))
	}
	if b[0] != magic {
		return 0, nil, errs.New(errs.Hopeless, "first byte is %#x, not the wire format's 0", b[0])
	}
	raw := binary.BigEndian.Uint32(b[1:prefixLen])
	if raw == 0 || raw > math.MaxInt32 {
		return 0, nil, errs.New(errs.Hopeless, "%d is no schema id", raw)
	}
	return int(raw), b[prefixLen:], nil
}
