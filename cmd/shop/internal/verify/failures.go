package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
)

// Failures is what the groups keep of the records they failed at (see package retry),
// and what lies on their retry and dead-letter topics.
type Failures struct {
	ParkedKeys    []ParkedKey
	ParkedRecords []ParkedRecord // by group and position
	DeadLetters   []DeadLetter
	GivenUp       []GivenUp
	Retries       []Retry
	Copies        []Copy
}

// Place is where a record lies and when it was written, in Unix milliseconds. The time
// is part of it because a topic that was lost and made anew has other records in the
// same places.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
	Millis    int64
}

func (p Place) String() string { return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition, p.Offset) }

// Sum identifies the content of a record: its key, value and headers.
type Sum [sha256.Size]byte

// sumOf tells a missing key or value from an empty one. For a header's value the two are
// the same, as nobody who reads headers makes a difference. Headers that a stranger gave
// the prefix of the retry records' own are not counted: a retry drops them.
func sumOf(key, value []byte, headers []events.Header) Sum {
	h := sha256.New()
	part := func(b []byte, missing bool) {
		n := int64(len(b))
		if missing {
			n = -1
		}
		_ = binary.Write(h, binary.BigEndian, n) // a hash takes everything
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
	Head                       uuid.UUID // of the retry record that counts, or of the dead letter
	State                      string    // "retrying" or "dead"
}

// ParkedRecord is a record that waits behind the head of its key.
type ParkedRecord struct {
	Service, Group, Key string
	Position            int64
	Place               Place
	InboxID             uuid.UUID
	DeadLetter          uuid.UUID // the one it is, where it was resubmitted; else zero
	ArrivedAt           time.Time
}

// DeadLetter is a record that a group gave up on.
type DeadLetter struct {
	Service, Group, Key string
	ID                  uuid.UUID
	Place               Place
	InboxID             uuid.UUID
	EventID             uuid.UUID // zero where no event could be read
	Type                string
	Status              string // "open", "resubmitted", "resolved" or "discarded"
	Parks               bool
	Sum                 Sum     // of the record as it came
	Repaired            *Record // as it was edited, nil where it was not
	CreatedAt           time.Time
	Actions             []Action // as they happened
}

// GivenUp is where a record lies that a group gave up on. It outlives the dead letter.
type GivenUp struct {
	Service, Group string
	Place          Place
	Key            string    // of one that parked its key, else ""
	DeadLetter     uuid.UUID // zero where an operator had the record skipped, which is "discarded" too
	Decision       string    // "", "resolved" or "discarded"
}

// discardedPlaces returns where the records lie that a group will never handle.
func discardedPlaces(f Facts, group string) map[Place]bool {
	places := map[Place]bool{}
	for _, g := range f.GivenUp {
		if g.Group == group && g.Decision == "discarded" {
			places[g.Place] = true
		}
	}
	return places
}

// Action is a line of a dead letter's audit trail.
type Action struct{ Actor, Action, Detail string }

// Retry is a record on a retry topic, or in an outbox on its way there.
type Retry struct {
	Topic, Group, Key string
	ID                uuid.UUID // what a parked key's head names
	Place             Place     // of the original
	InboxID           uuid.UUID
	DeadLetter        uuid.UUID // the one it resubmits, or zero
	Attempts          int       // made and failed before it
	Skip              bool      // its dead letter was discarded
}

// Copy is a record on a dead-letter topic, or in an outbox on its way there.
type Copy struct {
	Topic, Group, Key string
	ID                uuid.UUID // of the dead letter
	Sum               Sum       // of what it carries of the original
	Omitted           bool      // the original was too large to be carried
	Time              time.Time
}

// kept is how long what was settled can be relied on to be found: closed dead letters
// and their copies are kept 30 days. What is older may have been pruned.
const kept = 30 * 24 * time.Hour

// old tells whether something of that time may have been pruned.
func (f Facts) old(t time.Time) bool { return t.Before(f.At.Add(-kept)) }
