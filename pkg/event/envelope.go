package event

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
)

// Names of the Kafka headers of an event. Those with the prefix "ce_" are attributes of CloudEvents
// 1.0 in the binary mode of its Kafka protocol binding. aggregateversion, sagastyle, correlationid
// and causationid are extension attributes. traceparent and tracestate are those of W3C Trace Context.
const (
	HeaderSpecVersion      = "ce_specversion"
	HeaderID               = "ce_id"
	HeaderSource           = "ce_source"
	HeaderType             = "ce_type"
	HeaderSubject          = "ce_subject"
	HeaderTime             = "ce_time"
	HeaderAggregateVersion = "ce_aggregateversion"
	HeaderStyle            = "ce_sagastyle"
	HeaderCorrelationID    = "ce_correlationid"
	HeaderCausationID      = "ce_causationid"
	HeaderContentType      = "content-type"
	HeaderTraceParent      = "traceparent"
	HeaderTraceState       = "tracestate"
)

const (
	// SpecVersion is the version of CloudEvents that is written and accepted.
	SpecVersion = "1.0"
	// ContentTypeAvro is the content type of an event in Confluent's wire format.
	ContentTypeAvro = "application/avro"

	// timeLayout writes RFC 3339 with all six digits, so that equal times are equal bytes.
	timeLayout = "2006-01-02T15:04:05.000000Z07:00"

	// maxAttribute bounds an attribute's length in bytes. Regular attributes stay below 600
	// (tracestate may have 512). Longer ones only fill logs and columns.
	maxAttribute = 4096
)

// Style is how the saga that an event belongs to is coordinated. Everything that an event causes has
// the event's style.
type Style string

// The styles. An event of an earlier release has no header for it and is Choreographed.
const (
	Choreographed Style = "choreographed" // the services react to each other's events
	Orchestrated  Style = "orchestrated"  // a coordinator reacts to the events and sends commands
)

// ParseStyle returns the style of a name. An empty name is that of an event of an earlier release.
// The error is of kind errs.Invalid.
func ParseStyle(name string) (Style, error) {
	switch s := cmp.Or(Style(name), Choreographed); s {
	case Choreographed, Orchestrated:
		return s, nil
	}
	return "", errs.New(errs.Invalid, "%q is no style of a saga: it is %q or %q", name, Choreographed, Orchestrated)
}

// Contradicts reports whether anything says another style than an order is stored with. An empty style
// says nothing. Where none is stored yet, the first that is said is the order's.
func (stored Style) Contradicts(said ...Style) bool { return stored.Contradiction(said...) != "" }

// Contradiction returns the first style that contradicts the stored one, as [Style.Contradicts] means it,
// or "".
func (stored Style) Contradiction(said ...Style) Style {
	for _, s := range said {
		stored = cmp.Or(stored, s)
		if s != stored && s != "" {
			return s
		}
	}
	return ""
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// storedHeader is a Header in a jsonb column. Values are base64 because they are bytes. Keys are
// text, except those that jsonb cannot store (NUL, invalid UTF-8). Foreign producers may send such
// keys, and dead letters must keep them.
type storedHeader struct {
	Key      string `json:"key,omitempty"`
	KeyBytes []byte `json:"keyBytes,omitempty"`
	Value    []byte `json:"value"`
}

// MarshalJSON writes the header as {"key": …, "value": base64}, in a form that every database
// column of type jsonb can store.
func (h Header) MarshalJSON() ([]byte, error) {
	if !utf8.ValidString(h.Key) || strings.ContainsRune(h.Key, 0) {
		return json.Marshal(storedHeader{KeyBytes: []byte(h.Key), Value: h.Value})
	}
	return json.Marshal(storedHeader{Key: h.Key, Value: h.Value})
}

// UnmarshalJSON reads what [Header.MarshalJSON] wrote.
func (h *Header) UnmarshalJSON(b []byte) error {
	var s storedHeader
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	h.Key, h.Value = s.Key, s.Value
	if s.KeyBytes != nil {
		h.Key = string(s.KeyBytes)
	}
	return nil
}

// Envelope is the data about an event besides its content. The outbox creates it when the event is
// appended. It never changes afterwards.
type Envelope struct {
	// ID identifies the event for ever: the inbox's key. It is a UUIDv7, so that ids sort by the
	// time of their creation.
	ID uuid.UUID
	// Source names the producer, for example "/lockers/parcel".
	Source string
	// Type is the event's type by its short name, for example "ParcelAccepted".
	Type string
	// Subject is the id of the aggregate that the event comes from.
	Subject string
	// AggregateVersion is the version of that aggregate after the event, from 1.
	AggregateVersion int64
	// Time is when the event was recorded. UTC, microseconds.
	Time time.Time
	// Style is that of the event's saga. It is identity and not advice: it decides whether a
	// participant acts on the event. The zero value is written as [Choreographed].
	Style Style
	// CorrelationID is the same for all events that follow from one request. May be empty.
	CorrelationID string
	// CausationID is the ID of the event that caused this one, or the event's own ID when a request
	// caused it. May be empty.
	CausationID string
	// ContentType is the format of the value, normally [ContentTypeAvro].
	ContentType string
	// TraceParent and TraceState are passed on unchanged, or empty.
	TraceParent, TraceState string
}

// Headers returns the envelope as Kafka headers in a fixed order. Empty optional attributes are
// left out, except tracestate beside a traceparent: an empty tracestate is allowed, and because
// both are always there together, Debezium can send the same headers. Time is written in UTC, cut
// to microseconds.
func (e Envelope) Headers() []Header {
	headers := []Header{
		{HeaderSpecVersion, []byte(SpecVersion)},
		{HeaderID, []byte(e.ID.String())},
		{HeaderSource, []byte(e.Source)},
		{HeaderType, []byte(e.Type)},
		{HeaderSubject, []byte(e.Subject)},
		{HeaderTime, []byte(e.Time.UTC().Format(timeLayout))},
		{HeaderAggregateVersion, strconv.AppendInt(nil, e.AggregateVersion, 10)},
		{HeaderContentType, []byte(e.ContentType)},
		{HeaderStyle, []byte(cmp.Or(e.Style, Choreographed))},
	}
	for _, optional := range []struct{ key, value string }{
		{HeaderCorrelationID, e.CorrelationID},
		{HeaderCausationID, e.CausationID},
		{HeaderTraceParent, e.TraceParent},
		{HeaderTraceState, e.TraceState},
	} {
		if optional.value != "" || optional.key == HeaderTraceState && e.TraceParent != "" {
			headers = append(headers, Header{optional.key, []byte(optional.value)})
		}
	}
	return headers
}
