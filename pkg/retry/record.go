package retry

import (
	"crypto/sha256"
	"embed"
	"io/fs"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Component returns the migrations of this package's tables.
func Component() postgres.Component {
	// fs.Sub fails on invalid paths only, and this one is a constant.
	sub, _ := fs.Sub(migrations, "migrations")
	return postgres.Component{Name: "retry", FS: sub, Grants: []postgres.Grant{
		{Table: "parked_keys", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "parked_records", App: "SELECT, INSERT, DELETE"},
		{Table: "dead_letters", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "given_up", App: "SELECT, INSERT, UPDATE"},    // for ever
		{Table: "dead_letter_actions", App: "SELECT, INSERT"}, // they go with their letter
	}}
}

// Store keeps the failed records of one consumer group. It holds no state of its own
// and is safe for concurrent use.
type Store struct {
	group string
	out   *outbox.Outbox
}

// New returns the store of a group. What goes to Kafka goes through out, whose table
// must be in the database of the transactions given.
func New(group string, out *outbox.Outbox) *Store { return &Store{group: group, out: out} }

// Group is the consumer group whose failures these are.
func (s *Store) Group() string { return s.group }

// Record is a Kafka record as the group read it from its original topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time
	Key       []byte // nil: without key
	Value     []byte // nil: a tombstone
	Headers   []events.Header
}

// Key is what order is kept by: records of one key on one topic. KeyOf makes it.
type Key struct {
	Topic string
	Key   string // bytes; see KeyOf
}

// Lane returns the key the record is ordered by.
func (r Record) Lane() Key { return KeyOf(r.Topic, r.Key) }

// Bare returns what is known of a record without its bytes: where it lies, and the key it is
// ordered by. A dead letter of it always fits.
func (r Record) Bare() Record {
	key := r.Key
	if key != nil {
		key = []byte(r.Lane().Key)
	}
	return Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Time, Key: key}
}

const (
	// maxLaneKey is how many bytes of a record's key stand in an index as they are. A row of
	// an index holds some 2,700 bytes at most (a third of a page), and topic and group are
	// in the same row.
	maxLaneKey = 512
	// hashedKey begins the key of a longer one, before its SHA-256.
	hashedKey = "sha256:"
)

// KeyOf returns what records with the given key on a topic are ordered by: the key itself, or
// where it has more than 512 bytes "sha256:" and its SHA-256. A missing key is an empty one.
func KeyOf(topic string, key []byte) Key {
	if len(key) <= maxLaneKey {
		return Key{topic, string(key)}
	}
	sum := sha256.Sum256(key)
	return Key{topic, hashedKey + string(sum[:])}
}

// laneOf is KeyOf in SQL, of a column named key.
const laneOf = `CASE WHEN octet_length(key) > 512 THEN '` + hashedKey + `'::bytea || sha256(key) ELSE key END`

// Failure is what is known about a record's failed attempts. The zero Failure means
// that there was none yet.
type Failure struct {
	Attempts    int       // made and failed
	First, Last time.Time // when the first and the latest of them failed
	Class       string    // of the latest: an errs.Kind
	Message     string    // likewise
	Stack       string    // likewise; of a panic, or where it was given up
}

// Failed returns f with one more attempt that failed with err at now.
func (f Failure) Failed(err error, stack []byte, now time.Time) Failure {
	f.Attempts++
	if f.First.IsZero() {
		f.First = now
	}
	f.Last, f.Class, f.Message, f.Stack = now, errs.KindOf(err).String(), clip(err.Error()), clip(string(stack))
	return f
}

// maxErrorText bounds message and stack, in bytes: they explain, the original bytes
// are what must not be lost.
const maxErrorText = 8 << 10

// clip shortens a text that explains and makes it fit for columns and headers.
func clip(s string) string {
	cut := len(s) > maxErrorText
	if cut {
		s = s[:maxErrorText]
	}
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if cut {
		s += "…"
	}
	return s
}

// Head is a record whose turn it is among those of its key: what a retry record
// carries.
type Head struct {
	ID uuid.UUID // of the retry record, drawn when it is written
	Record
	InboxID   uuid.UUID // what the inbox received the record as
	EventType string    // for people
	Failure             // of the attempts since it was first received or last resubmitted
	NotBefore time.Time // of the next attempt

	DeadLetter uuid.UUID // the dead letter this resubmits, or uuid.Nil
	Skip       bool      // a person discarded it: do nothing, then let its followers go on
}
