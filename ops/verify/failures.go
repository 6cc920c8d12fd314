package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
)

// Failures is what the groups store about the records that they failed to handle (see package
// retry), and the contents of their retry and dead-letter topics.
type Failures struct {
	ParkedKeys    []ParkedKey
	ParkedRecords []ParkedRecord // by group and position
	DeadLetters   []DeadLetter
	GivenUp       []GivenUp
	Retries       []Retry
	Copies        []Copy
}

// Place is the position of a record and the time at which it was written, in Unix milliseconds. The
// time is included because a topic that was lost and created anew has other records at the same
// positions.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
	Millis    int64
}

// Sum identifies the content of a record: its key, value and headers.
type Sum [sha256.Size]byte

// sumOf distinguishes a missing key or value from an empty one. It does not for a header's value,
// because readers of headers do not. It ignores headers with the retry records' own prefix that a
// foreign producer set: a retry drops them.
func sumOf(key, value []byte, headers []event.Header) Sum {
	h := sha256.New()
	part := func(b []byte, missing bool) {
		n := int64(len(b))
		if missing {
			n = -1
		}
		_ = binary.Write(h, binary.BigEndian, n) // writing to a hash cannot fail
		h.Write(b)
	}
	part(key, key == nil)
	part(value, value == nil)
	for _, header := range headers {
		if strings.HasPrefix(header.Key, "retry_") {
			continue
		}
		part([]byte(header.Key), false)
		part(header.Value, false)
	}
	return Sum(h.Sum(nil))
}

// ParkedKey is a key of a topic that waits in a group for its head.
type ParkedKey struct {
	Service, Group, Topic, Key string
	Head                       uuid.UUID // id of the current retry record, or of the dead letter
	State                      string    // "retrying" or "dead"
}

// ParkedRecord is a record that waits behind the head of its key.
type ParkedRecord struct {
	Service, Group, Key string
	Position            int64
	Place               Place
	InboxID             uuid.UUID
	DeadLetter          uuid.UUID // the dead letter that was resubmitted to this record; else zero
	ArrivedAt           time.Time
}

// DeadLetter is a record that a group gave up on.
type DeadLetter struct {
	Service, Group, Key string
	ID                  uuid.UUID
	Place               Place
	InboxID             uuid.UUID
	EventID             uuid.UUID // zero if no event could be read
	Type                string
	Status              string // "open", "resubmitted", "resolved" or "discarded"
	Parks               bool
	Sum                 Sum     // of the record as it came
	Repaired            *Record // as it was edited, nil if it was not
	CreatedAt           time.Time
	Actions             []Action // in the order of time
}

// GivenUp is the place of a record that a group gave up on. It outlives the dead letter.
type GivenUp struct {
	Service, Group string
	Place          Place
	Key            string    // of a record that parked its key, else ""
	DeadLetter     uuid.UUID // zero if an operator had the record skipped, which counts as "discarded"
	Decision       string    // "", "resolved" or "discarded"
}

// discardedPlaces returns the places of the records that a group will never handle.
func discardedPlaces(f Facts, group string) map[Place]bool {
	places := map[Place]bool{}
	for _, g := range f.GivenUp {
		if g.Group == group && g.Decision == "discarded" {
			places[g.Place] = true
		}
	}
	return places
}

// Action is an entry of a dead letter's audit trail.
type Action struct{ Actor, Action, Detail string }

// Retry is a record on a retry topic, or in an outbox on its way there.
type Retry struct {
	Topic, Group, Key string
	ID                uuid.UUID // a parked key's head names it
	Place             Place     // of the original
	InboxID           uuid.UUID
	DeadLetter        uuid.UUID // the dead letter that it resubmits, or zero
	Attempts          int       // failed attempts before it
	Skip              bool      // its dead letter was discarded
}

// Copy is a record on a dead-letter topic, or in an outbox on its way there.
type Copy struct {
	Topic, Group, Key string
	ID                uuid.UUID // of the dead letter
	Sum               Sum       // of the original's content that it carries
	Omitted           bool      // the original was too large to carry
	Time              time.Time
}

// kept is how long settled records are certain to be found: closed dead letters and their copies
// are kept for 30 days. Older ones may have been pruned.
const kept = 30 * 24 * time.Hour

// old reports whether data of that time may have been pruned.
func (f Facts) old(t time.Time) bool { return t.Before(f.At.Add(-kept)) }
