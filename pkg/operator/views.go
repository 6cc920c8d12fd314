package operator

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/retry"
)

func summaryOf(d retry.DeadLetter) operatorapi.Summary {
	s := operatorapi.Summary{
		ID: d.ID.String(), Group: d.Group, Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, RecordTime: d.Time.UTC(),
		EventID: idText(d.EventID), EventType: d.EventType, ErrorClass: d.Class, ErrorMessage: d.Message, Attempts: int32(d.Attempts),
		FirstFailure: d.First.UTC(), LastFailure: d.Last.UTC(), Status: operatorapi.Status(d.Status), Parks: d.Parks, Edited: d.Edited,
		Followers: d.Followers, CreatedAt: d.CreatedAt.UTC(),
	}
	text, inBase64 := textOrBytes(d.Key)
	s.Key, s.KeyBase64 = text, value(inBase64)
	return s
}

// idText returns an id as text, "" for no id.
func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// utc returns a time in UTC. The zero time, which a response omits, stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
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

// textOrBytes returns b as text when both JSON and Postgres can store it, else in base64; neither
// when b is nil.
func textOrBytes(b []byte) (text, inBase64 *string) {
	switch {
	case b == nil:
		return nil, nil
	case utf8.Valid(b) && bytes.IndexByte(b, 0) < 0:
		s := string(b)
		return &s, nil
	}
	return nil, inBase64Of(b)
}

// inBase64Of returns bytes in base64, nil for nil.
func inBase64Of(b []byte) *string {
	if b == nil {
		return nil
	}
	s := base64.StdEncoding.EncodeToString(b)
	return &s
}

func (a *api) detailOf(ctx context.Context, d retry.Details, actions []retry.Action) operatorapi.Detail {
	v := operatorapi.Detail{
		Summary: summaryOf(d.DeadLetter), ErrorStack: d.Stack, Headers: headerViews(d.Original.Headers),
		PayloadBase64: inBase64Of(d.Original.Value), Actions: make([]operatorapi.Action, 0, len(actions)),
	}
	v.Payload, v.SchemaSubject, v.DecodeError = a.decode(ctx, d.Original.Value)
	if r := d.Repaired; r != nil {
		e := operatorapi.Record{Headers: headerViews(r.Headers), PayloadBase64: inBase64Of(r.Value)}
		text, inBase64 := textOrBytes(r.Key)
		e.Key, e.KeyBase64 = text, value(inBase64)
		e.Payload, _, e.DecodeError = a.decode(ctx, r.Value)
		v.EditedRecord = &e
	}
	for _, done := range actions {
		v.Actions = append(v.Actions, operatorapi.Action{
			At: done.At.UTC(), Actor: done.Actor, Action: operatorapi.ActionAction(done.Action), Detail: done.Detail,
		})
	}
	return v
}

// decode returns a payload as JSON, or why it cannot be decoded.
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

// headerViews converts headers. A header without a value has neither form of it.
func headerViews(hs []event.Header) []operatorapi.Header {
	views := make([]operatorapi.Header, 0, len(hs))
	for _, h := range hs {
		var v operatorapi.Header
		v.Key, v.KeyBase64 = textOrBytes([]byte(h.Key))
		v.Value, v.ValueBase64 = textOrBytes(h.Value)
		views = append(views, v)
	}
	return views
}

// headersOf converts headerViews back to headers. The result is never nil.
func headersOf(views []operatorapi.Header) ([]event.Header, error) {
	hs := make([]event.Header, 0, len(views))
	for i, v := range views {
		at := "headers[" + strconv.Itoa(i) + "]."
		key, err := bytesOf(at, "key", v.Key, v.KeyBase64)
		if err != nil {
			return nil, err
		}
		if key == nil {
			return nil, errs.Field(at+"key", "is required")
		}
		value, err := bytesOf(at, "value", v.Value, v.ValueBase64)
		if err != nil {
			return nil, err
		}
		h := event.Header{Key: string(*key)}
		if value != nil {
			h.Value = *value
		}
		hs = append(hs, h)
	}
	return hs, nil
}

// DeadLetterStats handles GET /dead-letters/stats.
func (a *api) DeadLetterStats(w http.ResponseWriter, r *http.Request) {
	a.respond(w, r)(a.stats(r.Context()))
}

func (a *api) stats(ctx context.Context) (any, error) {
	st, err := a.Store.Stats(ctx, a.Pool)
	if err != nil {
		return nil, err
	}
	answer := operatorapi.Stats{
		Group: a.Store.Group(), Open: st.Open, Resubmitted: st.Resubmitted, OldestOpen: utc(st.OldestOpen),
		ByTopic: make([]operatorapi.TopicStats, 0, len(st.ByTopic)), ByType: make([]operatorapi.TypeStats, 0, len(st.ByType)),
		ParkedKeys:    operatorapi.ParkedStats{Retrying: st.Parked.Retrying, Dead: st.Parked.Dead},
		ParkedRecords: st.Parked.Records, OverdueRetries: st.Parked.Overdue,
	}
	for _, t := range st.ByTopic {
		answer.ByTopic = append(answer.ByTopic, operatorapi.TopicStats{Topic: t.Topic, Open: t.Open, Resubmitted: t.Resubmitted, Oldest: utc(t.Oldest)})
	}
	for _, t := range st.ByType {
		answer.ByType = append(answer.ByType, operatorapi.TypeStats{EventType: t.EventType, ErrorClass: t.Class, Open: t.Open})
	}
	return answer, nil
}

// ListParkedKeys handles GET /parked.
func (a *api) ListParkedKeys(w http.ResponseWriter, r *http.Request, p operatorapi.ListParkedKeysParams) {
	a.respond(w, r)(a.parked(r.Context(), p))
}

func (a *api) parked(ctx context.Context, p operatorapi.ListParkedKeysParams) (any, error) {
	key, err := keyOf(p.Key, p.KeyBase64)
	if err != nil {
		return nil, err
	}
	var keys []retry.ParkedKey
	if key == nil {
		keys, err = a.Store.ParkedKeys(ctx, a.Pool, limitOf(p.Limit))
	} else {
		keys, err = a.Store.ParkedOf(ctx, a.Pool, key, limitOf(p.Limit))
	}
	if err != nil {
		return nil, err
	}
	answer := operatorapi.ParkedKeys{ParkedKeys: make([]operatorapi.ParkedKey, 0, len(keys))}
	for _, k := range keys {
		text, inBase64 := textOrBytes(k.Key)
		answer.ParkedKeys = append(answer.ParkedKeys, operatorapi.ParkedKey{
			Topic: k.Topic, Key: text, KeyBase64: value(inBase64), State: operatorapi.ParkedKeyState(k.State), Head: k.Head.String(),
			EventType: k.EventType, Attempts: int32(k.Attempts), NotBefore: k.NotBefore.UTC(), LastError: k.LastError,
			ParkedAt: k.ParkedAt.UTC(), Followers: k.Followers,
		})
	}
	return answer, nil
}
