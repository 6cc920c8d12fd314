package ops

import (
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

// Statuses of a dead letter.
const (
	Open        = "open"        // nobody has decided
	Resubmitted = "resubmitted" // on its way through the retry topic
	Resolved    = "resolved"    // a resubmission had its effect
	Discarded   = "discarded"   // given up for good, with a reason
	AnyStatus   = "all"         // in filters
)

// Filter selects dead letters. Empty fields select all, an empty status the open ones.
type Filter struct {
	Status, Topic, Type, Class, Key string
	Since, Until                    time.Time
}

func (f Filter) query(after string, limit int) url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("status", f.Status)
	set("topic", f.Topic)
	set("type", f.Type)
	set("class", f.Class)
	set("key", f.Key)
	set("since", stamp(f.Since))
	set("until", stamp(f.Until))
	set("after", after)
	q.Set("limit", strconv.Itoa(limit))
	return q
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Summary is a dead letter in a list.
type Summary struct {
	ID           string    `json:"id"` // UUIDv7
	Group        string    `json:"group"`
	Topic        string    `json:"topic"` // the original one
	Partition    int32     `json:"partition"`
	Offset       int64     `json:"offset"`
	RecordTime   time.Time `json:"recordTime"`
	Key          string    `json:"key,omitempty"`
	KeyBase64    string    `json:"keyBase64,omitempty"` // of a key that is no text
	EventID      string    `json:"eventId,omitempty"`
	EventType    string    `json:"eventType"`
	ErrorClass   string    `json:"errorClass"`
	ErrorMessage string    `json:"errorMessage"` // in a list its first line
	Attempts     int       `json:"attempts"`     // over all resubmissions
	FirstFailure time.Time `json:"firstFailure"`
	LastFailure  time.Time `json:"lastFailure"`
	Status       string    `json:"status"`
	Parks        bool      `json:"parks"` // its key waits for a decision
	Edited       bool      `json:"edited"`
	Followers    int       `json:"followers"` // records of its key that wait behind it
	CreatedAt    time.Time `json:"createdAt"`
}

// Header is a header of a record: name and value each as text or, where they are none,
// in base64. One without value has neither form of it.
type Header struct {
	Key         *string `json:"key,omitempty"`
	KeyBase64   *string `json:"keyBase64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 *string `json:"valueBase64,omitempty"`
}

// Record is the part of a dead letter that an operator may repair. In a request a field
// that is missing stays as it is.
type Record struct {
	Key           *string         `json:"key,omitempty"`
	KeyBase64     *string         `json:"keyBase64,omitempty"`
	Headers       []Header        `json:"headers,omitzero"`  // all of them; an empty list is none
	Payload       json.RawMessage `json:"payload,omitempty"` // decoded
	PayloadBase64 *string         `json:"payloadBase64,omitempty"`
}

// EditedRecord is a record as it was repaired.
type EditedRecord struct {
	Record
	DecodeError string `json:"decodeError,omitempty"`
}

// Action is a line of the audit trail.
type Action struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Detail string    `json:"detail,omitempty"`
}

// Detail is all that is known of a dead letter.
type Detail struct {
	Summary
	ErrorStack    string          `json:"errorStack"`
	Headers       []Header        `json:"headers"`
	Payload       json.RawMessage `json:"payload,omitempty"` // when it can be decoded
	PayloadBase64 *string         `json:"payloadBase64"`     // nil: a record without payload
	DecodeError   string          `json:"decodeError,omitempty"`
	SchemaSubject string          `json:"schemaSubject,omitempty"`
	EditedRecord  *EditedRecord   `json:"editedRecord,omitempty"`
	Actions       []Action        `json:"actions"`
	Warnings      []string        `json:"warnings,omitempty"` // of an edit
}

// Edit is a change of a dead letter.
type Edit struct {
	Record
	SetHeaders map[string]string `json:"setHeaders,omitempty"` // the others stay
	Note       string            `json:"note,omitempty"`       // for the audit trail
	DryRun     bool              `json:"dryRun,omitempty"`
}

// Outcome is what became of a resubmission or a discard.
type Outcome struct {
	ID                string   `json:"id"`
	Status            string   `json:"status"`
	Effect            bool     `json:"effect"` // false: nothing was changed
	RetryID           string   `json:"retryId,omitempty"`
	FollowersReleased int      `json:"followersReleased,omitempty"`
	Warnings          []string `json:"warnings,omitempty"`
}

// Stats are a group's dead letters and parked keys in numbers.
type Stats struct {
	Group         string       `json:"group"`
	Open          int          `json:"open"`
	Resubmitted   int          `json:"resubmitted"`
	OldestOpen    *time.Time   `json:"oldestOpen,omitempty"`
	ByTopic       []TopicStats `json:"byTopic"`
	ByType        []TypeStats  `json:"byType"`
	ParkedKeys    ParkedStats  `json:"parkedKeys"`
	ParkedRecords int          `json:"parkedRecords"`
	Overdue       int          `json:"overdueRetries"` // should have been tried 10 minutes ago
}

// TopicStats are the dead letters of one topic.
type TopicStats struct {
	Topic       string     `json:"topic"`
	Open        int        `json:"open"`
	Resubmitted int        `json:"resubmitted"`
	Oldest      *time.Time `json:"oldest,omitempty"`
}

// TypeStats are the open dead letters of one event type and error class.
type TypeStats struct {
	EventType  string `json:"eventType"`
	ErrorClass string `json:"errorClass"`
	Open       int    `json:"open"`
}

// ParkedStats are the parked keys by state.
type ParkedStats struct {
	Retrying int `json:"retrying"`
	Dead     int `json:"dead"`
}

// States of a parked key.
const (
	Retrying = "retrying" // its head will be tried again by itself
	Dead     = "dead"     // its head is a dead letter: somebody has to decide
)

// ParkedKey is a key whose records wait.
type ParkedKey struct {
	Topic     string    `json:"topic"`
	Key       string    `json:"key,omitempty"`
	KeyBase64 string    `json:"keyBase64,omitempty"`
	State     string    `json:"state"`
	Head      string    `json:"head"` // retrying: the retry record's id; dead: the dead letter's
	EventType string    `json:"eventType"`
	Attempts  int       `json:"attempts"`
	NotBefore time.Time `json:"notBefore"` // of the next attempt
	LastError string    `json:"lastError"`
	ParkedAt  time.Time `json:"parkedAt"`
	Followers int       `json:"followers"`
}
