package retry

import (
	"crypto/sha256"
	"embed"
	"io/fs"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Component returns the migrations of this package's tables.
func Component() postgres.Component {
	// fs.Sub fails only for invalid paths, and this one is a constant.
	sub, _ := fs.Sub(migrations, "migrations")
	return postgres.Component{Name: "retry", FS: sub, Grants: []postgres.Grant{
		{Table: "parked_keys", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "parked_records", App: "SELECT, INSERT, DELETE"},
		{Table: "dead_letters", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "given_up", App: "SELECT, INSERT, UPDATE"},    // rows are never deleted
		{Table: "dead_letter_actions", App: "SELECT, INSERT"}, // rows are deleted with their dead letter
	}}
}

// Store stores the failed records of one consumer group. It has no state of its own and is safe for
// concurrent use.
type Store struct {
	group string
	out   *outbox.Outbox
}

// New returns the store of a group. Records for Kafka are written to out, whose table must be in
// the database of the transactions that the methods receive.
func New(group string, out *outbox.Outbox) *Store { return &Store{group: group, out: out} }

// Group returns the consumer group that the store belongs to.
func (s *Store) Group() string { return s.group }

// Record is a Kafka record as the group read it from its original topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time
	Key       []byte // nil: without a key
	Value     []byte // nil: a tombstone
	Headers   []event.Header
}

// Key is what records are ordered by: one key on one topic. [KeyOf] creates it.
type Key struct {
	Topic string
	Key   string // bytes; see KeyOf
}

// ParkedKey returns the key by which the record is ordered.
func (r Record) ParkedKey() Key { return KeyOf(r.Topic, r.Key) }

// Bare returns the record without its bytes: its place, and the key by which it is ordered. A dead
// letter of it always fits.
func (r Record) Bare() Record {
	key := r.Key
	if key != nil {
		key = []byte(r.ParkedKey().Key)
	}
	return Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Time, Key: key}
}

const (
	// maxLaneKey is the most bytes of a record's key that an index contains unchanged. An index row
	// has some 2,700 bytes at most (a third of a page), and topic and group are in the same row.
	maxParkedKey = 512
	// hashedKey is the prefix of a longer key, followed by its SHA-256.
	hashedKey = "sha256:"
)

// KeyOf returns the key by which records with the given key on a topic are ordered: the key itself,
// or, for more than 512 bytes, "sha256:" and its SHA-256. A missing key is an empty one.
func KeyOf(topic string, key []byte) Key {
	if len(key) <= maxParkedKey {
		return Key{topic, string(key)}
	}
	sum := sha256.Sum256(key)
	return Key{topic, hashedKey + string(sum[:])}
}

// laneOf is KeyOf in SQL, for a column named key.
const parkedKeyOf = `CASE WHEN octet_length(key) > 512 THEN '` + hashedKey + `'::bytea || sha256(key) ELSE key END`

// Failure describes a record's failed attempts. The zero Failure means that none has failed yet.
type Failure struct {
	Attempts    int       // attempts that failed
	First, Last time.Time // when the first and the latest of them failed
	Class       string    // of the latest: an errs.Kind
	Message     string    // of the latest
	Stack       string    // of the latest: of a panic, or of the place where it was given up
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

// maxErrorText bounds message and stack, in bytes. They only explain; the original bytes are what
// must not be lost.
const maxErrorText = 8 << 10

// clip shortens an explanatory text and makes it valid for columns and headers.
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

// Head is the first record of its parked key: the content of a retry record.
type Head struct {
	ID uuid.UUID // of the retry record, assigned when it is written
	Record
	InboxID   uuid.UUID // the id of the record's inbox row
	EventType string    // for operators, and for the consumer's choice of the backoff
	Failure             // of the attempts since it was first received or last resubmitted
	NotBefore time.Time // of the next attempt

	DeadLetter uuid.UUID // the dead letter this resubmits, or uuid.Nil
	Skip       bool      // an operator discarded it: do nothing, then let its followers go on
}
