package events

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
)

// Names of the Kafka headers of an event. Those with the prefix "ce_" are attributes of
// CloudEvents 1.0 in the binary mode of its Kafka protocol binding; aggregateversion,
// correlationid and causationid are extension attributes. traceparent and tracestate
// are those of W3C Trace Context.
const (
	HeaderSpecVersion      = "ce_specversion"
	HeaderID               = "ce_id"
	HeaderSource           = "ce_source"
	HeaderType             = "ce_type"
	HeaderSubject          = "ce_subject"
	HeaderTime             = "ce_time"
	HeaderAggregateVersion = "ce_aggregateversion"
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

	// maxAttribute bounds an attribute's length in bytes. Honest ones stay below 600
	// (tracestate may have 512); more only fills logs and columns.
	maxAttribute = 4096
)

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// storedHeader is a Header in a jsonb column. Values are base64 because they are
// bytes. Keys are text, except those that jsonb can not hold (NUL, invalid UTF-8),
// which strangers may send and dead letters must keep.
type storedHeader struct {
	Key      string `json:"key,omitempty"`
	KeyBytes []byte `json:"keyBytes,omitempty"`
	Value    []byte `json:"value"`
}

// MarshalJSON writes the header as {"key": …, "value": base64}, in a form that every
// database column of type jsonb can hold.
func (h Header) MarshalJSON() ([]byte, error) {
	if !utf8.ValidString(h.Key) || strings.ContainsRune(h.Key, 0) {
		return json.Marshal(storedHeader{KeyBytes: []byte(h.Key), Value: h.Value})
	}
	return json.Marshal(storedHeader{Key: h.Key, Value: h.Value})
}

// UnmarshalJSON reads what MarshalJSON wrote.
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

// Envelope is what is known about an event besides its content. The outbox makes it,
// when the event is appended; nobody changes it afterwards.
type Envelope struct {
	// ID identifies the event in all eternity: the inbox's key. UUIDv7, so that ids
	// sort by the time they were made.
	ID uuid.UUID
	// Source names the producer, for example "/eventshop/order".
	Source string
	// Type is the event's type by its short name, for example "OrderCreated".
	Type string
	// Subject is the id of the aggregate the event comes from.
	Subject string
	// AggregateVersion is the version of that aggregate after the event, from 1.
	AggregateVersion int64
	// Time is when the event was recorded. UTC, microseconds.
	Time time.Time
	// CorrelationID is the same for all that follows from one request. May be empty.
	CorrelationID string
	// CausationID is the ID of the event that caused this one; the event's own ID when a
	// request did. May be empty.
	CausationID string
	// ContentType is the format of the value, normally ContentTypeAvro.
	ContentType string
	// TraceParent and TraceState are passed on as they came, or empty.
	TraceParent, TraceState string
}

// Headers returns the envelope as Kafka headers in a fixed order. Optional attributes
// that are empty are left out, but for tracestate beside a traceparent: an empty one is
// allowed, and where both are always there Debezium can send the same headers. Time is
// written in UTC, cut to microseconds.
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

// ParseEnvelope reads an envelope from a record's headers. Headers it does not know are
// ignored. Whatever it returns can be stored and logged: attributes are valid UTF-8 of
// bounded length without control characters.
//
// The error is of kind errs.Hopeless and names the first header that is missing, given
// twice or malformed.
func ParseEnvelope(headers []Header) (Envelope, error) {
	attributes, err := collect(headers)
	if err != nil {
		return Envelope{}, err
	}
	for _, required := range []string{
		HeaderSpecVersion, HeaderID, HeaderSource, HeaderType, HeaderSubject,
		HeaderTime, HeaderAggregateVersion, HeaderContentType,
	} {
		if attributes[required] == "" {
			return Envelope{}, errs.New(errs.Hopeless, "header %s is missing", required)
		}
	}
	if v := attributes[HeaderSpecVersion]; v != SpecVersion {
		return Envelope{}, errs.New(errs.Hopeless, "header %s is %q, not %q", HeaderSpecVersion, v, SpecVersion)
	}
	id, err := parseID(attributes[HeaderID])
	if err != nil {
		return Envelope{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, attributes[HeaderTime])
	if err != nil {
		return Envelope{}, errs.New(errs.Hopeless, "header %s: %w", HeaderTime, err)
	}
	version, err := strconv.ParseInt(attributes[HeaderAggregateVersion], 10, 64)
	if err != nil || version < 1 {
		return Envelope{}, errs.New(errs.Hopeless, "header %s is %q, not a number from 1",
			HeaderAggregateVersion, attributes[HeaderAggregateVersion])
	}
	return Envelope{
		ID:               id,
		Source:           attributes[HeaderSource],
		Type:             attributes[HeaderType],
		Subject:          attributes[HeaderSubject],
		AggregateVersion: version,
		Time:             at.UTC().Truncate(time.Microsecond),
		CorrelationID:    attributes[HeaderCorrelationID],
		CausationID:      attributes[HeaderCausationID],
		ContentType:      attributes[HeaderContentType],
		TraceParent:      attributes[HeaderTraceParent],
		TraceState:       attributes[HeaderTraceState],
	}, nil
}

// collect picks the envelope's headers out of all headers of a record.
func collect(headers []Header) (map[string]string, error) {
	attributes := make(map[string]string, 12)
	for _, h := range headers {
		switch h.Key {
		case HeaderSpecVersion, HeaderID, HeaderSource, HeaderType, HeaderSubject, HeaderTime,
			HeaderAggregateVersion, HeaderCorrelationID, HeaderCausationID, HeaderContentType,
			HeaderTraceParent, HeaderTraceState:
		default:
			continue
		}
		if _, twice := attributes[h.Key]; twice {
			return nil, errs.New(errs.Hopeless, "header %s is given twice", h.Key)
		}
		if len(h.Value) > maxAttribute {
			return nil, errs.New(errs.Hopeless, "header %s has %d bytes, more than %d", h.Key, len(h.Value), maxAttribute)
		}
		value := string(h.Value)
		if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, errs.New(errs.Hopeless, "header %s is not plain text", h.Key)
		}
		attributes[h.Key] = value
	}
	return attributes, nil
}

// parseID insists on the form the outbox writes. Other versions of UUIDs carry no time,
// so the inbox could not tell when to forget them.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil, errs.New(errs.Hopeless, "header %s: %w", HeaderID, err)
	}
	if id.Version() != 7 || id.Variant() != uuid.RFC4122 || id.String() != s {
		return uuid.Nil, errs.New(errs.Hopeless, "header %s is %q, not a UUIDv7", HeaderID, s)
	}
	return id, nil
}
