package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/google/uuid"

	"eventshop.example/services/projection/internal/app"
)

// A cursor is the position behind the last entry of a page: a byte for the format, the entry's id,
// and a checksum over both, the list and its filters, as text. The checksum refuses a cursor that was damaged
// or belongs to other filters, which would skip rows without an error. It is no signature, since a
// position allows nothing that the filters do not: a client that computes one reads the same list.
const (
	cursorFormat  = 1
	checksumBytes = 8
	cursorBytes   = 1 + len(uuid.UUID{}) + checksumBytes
)

// cursorText has one text per cursor: Strict refuses bits that mean nothing.
var cursorText = base64.RawURLEncoding.Strict()

// list is the name of a list and the values of its filters, in an order of the list's own.
type list []string

// ordersBy returns the list of orders that filters select.
func ordersBy(f app.Filter) list { return list{"orders", f.Status, f.CustomerID} }

// cursorBehind returns the cursor of the page behind an entry.
func cursorBehind(last uuid.UUID, l list) string {
	b := append([]byte{cursorFormat}, last[:]...)
	return cursorText.EncodeToString(append(b, checksum(b, l)...))
}

// before returns the id of the entry that a cursor is behind. The error names the parameter.
func before(cursor string, l list) (uuid.UUID, error) {
	b, err := cursorText.DecodeString(cursor)
	if err != nil || len(b) != cursorBytes || b[0] != cursorFormat {
		return uuid.Nil, badParameter("cursor", "is not a nextCursor of this API; begin again at the first page")
	}
	position, sum := b[:len(b)-checksumBytes], b[len(b)-checksumBytes:]
	if !bytes.Equal(sum, checksum(position, l)) {
		return uuid.Nil, badParameter("cursor", "was changed, or is the nextCursor of a list with other filters")
	}
	return uuid.UUID(position[1:]), nil
}

// checksum returns the checksum of a position in a list.
func checksum(position []byte, l list) []byte {
	h := sha256.New()
	h.Write(position)
	for _, part := range l {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return h.Sum(nil)[:checksumBytes]
}
