package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/retry"
)

// summary is a dead letter in a list.
type summary struct {
	ID           uuid.UUID    `json:"id"`
	Group        string       `json:"group"`
	Topic        string       `json:"topic"`
	Partition    int32        `json:"partition"`
	Offset       int64        `json:"offset"`
	RecordTime   time.Time    `json:"recordTime"`
	Key          *string      `json:"key,omitempty"`
	KeyBase64    *[]byte      `json:"keyBase64,omitempty"`
	EventID      *uuid.UUID   `json:"eventId,omitempty"`
	EventType    string       `json:"eventType"`
	ErrorClass   string       `json:"errorClass"`
	ErrorMessage string       `json:"errorMessage"`
	Attempts     int          `json:"attempts"`
	FirstFailure time.Time    `json:"firstFailure"`
	LastFailure  time.Time    `json:"lastFailure"`
	Status       retry.Status `json:"status"`
	Parks        bool         `json:"parks"`
	Edited       bool         `json:"edited"`
	Followers    int64        `json:"followers"`
	CreatedAt    time.Time    `json:"createdAt"`
}

func summaryOf(d retry.DeadLetter) summary {
	s := summary{
		ID: d.ID, Group: d.Group, Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, RecordTime: d.Time.UTC(),
		EventType: d.EventType, ErrorClass: d.Class, ErrorMessage: d.Message, Attempts: d.Attempts,
		FirstFailure: d.First.UTC(), LastFailure: d.Last.UTC(), Status: d.Status, Parks: d.Parks, Edited: d.Edited,
		Followers: d.Followers, CreatedAt: d.CreatedAt.UTC(),
	}
	s.Key, s.KeyBase64 = textOrBytes(d.Key)
	if d.EventID != uuid.Nil {
		s.EventID = &d.EventID
	}
	return s
}

// maxLine is how many characters of an error's message a list shows.
const maxLine = 200

// firstLine shortens a message for a list.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if utf8.RuneCountInString(s) > maxLine {
		s = string([]rune(s)[:maxLine-1]) + "…"
	}
	return s
}

// textOrBytes returns b as text where it is one that JSON and Postgres can both hold,
// else as bytes; neither when there are none.
func textOrBytes(b []byte) (*string, *[]byte) {
	switch {
	case b == nil:
		return nil, nil
	case utf8.Valid(b) && bytes.IndexByte(b, 0) < 0:
		text := string(b)
		return &text, nil
	}
	return nil, &b
}

// detail is all that is known about a dead letter.
type detail struct {
	summary
	ErrorStack    string          `json:"errorStack"`
	Headers       []header        `json:"headers"`
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadBase64 []byte          `json:"payloadBase64"` // null: a tombstone
	DecodeError   string          `json:"decodeError,omitempty"`
	SchemaSubject string          `json:"schemaSubject,omitempty"`
	EditedRecord  *record         `json:"editedRecord,omitempty"`
	Actions       []action        `json:"actions"`
	Warnings      []string        `json:"warnings,omitempty"`
}

type record struct {
	Key           *string         `json:"key,omitempty"`
	KeyBase64     *[]byte         `json:"keyBase64,omitempty"`
	Headers       []header        `json:"headers"`
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadBase64 []byte          `json:"payloadBase64"`
	DecodeError   string          `json:"decodeError,omitempty"`
}

type action struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Detail string    `json:"detail,omitempty"`
}

func (a *api) detailOf(ctx context.Context, d retry.Details, actions []retry.Action) detail {
	v := detail{
		summary: summaryOf(d.DeadLetter), ErrorStack: d.Stack, Headers: headerViews(d.Original.Headers),
		PayloadBase64: d.Original.Value, Actions: make([]action, 0, len(actions)),
	}
	v.Payload, v.SchemaSubject, v.DecodeError = a.decode(ctx, d.Original.Value)
	if r := d.Repaired; r != nil {
		e := record{Headers: headerViews(r.Headers), PayloadBase64: r.Value}
		e.Key, e.KeyBase64 = textOrBytes(r.Key)
		e.Payload, _, e.DecodeError = a.decode(ctx, r.Value)
		v.EditedRecord = &e
	}
	for _, done := range actions {
		v.Actions = append(v.Actions, action{done.At.UTC(), done.Actor, done.Action, done.Detail})
	}
	return v
}

// decode shows a payload as JSON, or says why it cannot.
func (a *api) decode(ctx context.Context, value []byte) (object json.RawMessage, subject, problem string) {
	if value == nil {
		return nil, "", "it has no payload"
	}
	object, subject, err := a.Codec.DecodeJSON(ctx, value)
	if err != nil {
		return nil, subject, err.Error()
	}
	return object, subject, ""
}

// header is a header of a record. One without value has neither form of it.
type header struct {
	Key         *string `json:"key,omitempty"`
	KeyBase64   *[]byte `json:"keyBase64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 *[]byte `json:"valueBase64,omitempty"`
}

func headerViews(hs []events.Header) []header {
	views := make([]header, 0, len(hs))
	for _, h := range hs {
		var v header
		v.Key, v.KeyBase64 = textOrBytes([]byte(h.Key))
		v.Value, v.ValueBase64 = textOrBytes(h.Value)
		views = append(views, v)
	}
	return views
}

// headersOf reads what headerViews wrote. The result is never nil.
func headersOf(views []header) ([]events.Header, error) {
	hs := make([]events.Header, 0, len(views))
	for i, v := range views {
		at := "headers[" + strconv.Itoa(i) + "]"
		var h events.Header
		switch {
		case v.Key != nil && v.KeyBase64 != nil:
			return nil, errs.Field(at+".keyBase64", "must not be given beside key")
		case v.Key != nil:
			h.Key = *v.Key
		case v.KeyBase64 != nil:
			h.Key = string(*v.KeyBase64)
		default:
			return nil, errs.Field(at+".key", "is required")
		}
		switch {
		case v.Value != nil && v.ValueBase64 != nil:
			return nil, errs.Field(at+".valueBase64", "must not be given beside value")
		case v.Value != nil:
			h.Value = []byte(*v.Value)
		case v.ValueBase64 != nil:
			h.Value = *v.ValueBase64
		}
		hs = append(hs, h)
	}
	return hs, nil
}

// stats answers GET /dead-letters/stats.
func (a *api) stats(r *http.Request) (any, error) {
	st, err := a.Store.Stats(r.Context(), a.Pool)
	if err != nil {
		return nil, err
	}
	type topic struct {
		Topic       string     `json:"topic"`
		Open        int64      `json:"open"`
		Resubmitted int64      `json:"resubmitted"`
		Oldest      *time.Time `json:"oldest,omitempty"`
	}
	type byType struct {
		EventType  string `json:"eventType"`
		ErrorClass string `json:"errorClass"`
		Open       int64  `json:"open"`
	}
	type parkedKeys struct {
		Retrying int64 `json:"retrying"`
		Dead     int64 `json:"dead"`
	}
	answer := struct {
		Group          string     `json:"group"`
		Open           int64      `json:"open"`
		Resubmitted    int64      `json:"resubmitted"`
		OldestOpen     *time.Time `json:"oldestOpen,omitempty"`
		ByTopic        []topic    `json:"byTopic"`
		ByType         []byType   `json:"byType"`
		ParkedKeys     parkedKeys `json:"parkedKeys"`
		ParkedRecords  int64      `json:"parkedRecords"`
		OverdueRetries int64      `json:"overdueRetries"`
	}{
		Group: a.Store.Group(), Open: st.Open, Resubmitted: st.Resubmitted, OldestOpen: optionalTime(st.OldestOpen),
		ByTopic: []topic{}, ByType: []byType{}, ParkedKeys: parkedKeys{st.Parked.Retrying, st.Parked.Dead},
		ParkedRecords: st.Parked.Records, OverdueRetries: st.Parked.Overdue,
	}
	for _, t := range st.ByTopic {
		answer.ByTopic = append(answer.ByTopic, topic{t.Topic, t.Open, t.Resubmitted, optionalTime(t.Oldest)})
	}
	for _, t := range st.ByType {
		answer.ByType = append(answer.ByType, byType{t.EventType, t.Class, t.Open})
	}
	return answer, nil
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// parked answers GET /parked.
func (a *api) parked(r *http.Request) (any, error) {
	limit, err := limitOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	keys, err := a.Store.ParkedKeys(r.Context(), a.Pool, limit)
	if err != nil {
		return nil, err
	}
	type parkedKey struct {
		Topic     string    `json:"topic"`
		Key       *string   `json:"key,omitempty"`
		KeyBase64 *[]byte   `json:"keyBase64,omitempty"`
		State     string    `json:"state"`
		Head      uuid.UUID `json:"head"`
		EventType string    `json:"eventType"`
		Attempts  int       `json:"attempts"`
		NotBefore time.Time `json:"notBefore"`
		LastError string    `json:"lastError"`
		ParkedAt  time.Time `json:"parkedAt"`
		Followers int64     `json:"followers"`
	}
	answer := struct {
		ParkedKeys []parkedKey `json:"parkedKeys"`
	}{[]parkedKey{}}
	for _, k := range keys {
		v := parkedKey{
			Topic: k.Topic, State: k.State, Head: k.Head, EventType: k.EventType, Attempts: k.Attempts,
			NotBefore: k.NotBefore.UTC(), LastError: k.LastError, ParkedAt: k.ParkedAt.UTC(), Followers: k.Followers,
		}
		v.Key, v.KeyBase64 = textOrBytes(k.Key)
		answer.ParkedKeys = append(answer.ParkedKeys, v)
	}
	return answer, nil
}
