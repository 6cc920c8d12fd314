package event

import (
	"cmp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
)

// ParseEnvelope reads an envelope from a record's headers and requires all of it. A producer checks
// its own envelopes in this way. Unknown headers are ignored. Everything it returns can be stored
// and logged: attributes are valid UTF-8 of bounded length without control characters.
//
// The error is of kind errs.Hopeless and names the first header that is missing, given twice or
// malformed. The envelope returned with it contains what could be read.
func ParseEnvelope(headers []Header) (Envelope, error) {
	r := read(headers)
	return r.envelope, r.first
}

// ReadEnvelope reads the envelope of a record as a consumer does: what identity and order need
// decides, and everything else is advisory. Required are ce_id, ce_type, ce_subject and
// ce_aggregateversion, each well-formed and of one value. ce_sagastyle may be missing, but not wrong.
// Any other attribute that is missing, malformed, too long or given twice with different values is
// replaced: ce_time by the record's own time, given in recorded; content-type by [ContentTypeAvro]; the
// others by nothing. An attribute given twice with one value has that value.
//
// replaced names the headers that were wrong, in the order of [Advisory]. An optional header that
// is missing is not wrong. The error is of kind errs.Hopeless and names the first header that makes
// the record unusable. The envelope returned with it contains what could be read.
func ReadEnvelope(headers []Header, recorded time.Time) (env Envelope, replaced []string, err error) {
	r := read(headers)
	env = r.envelope
	if env.Time.IsZero() {
		env.Time = StorableTime(recorded)
	}
	if env.ContentType == "" {
		env.ContentType = ContentTypeAvro
	}
	for _, name := range Advisory() {
		if r.wrong[name] {
			replaced = append(replaced, name)
		}
	}
	return env, replaced, r.identity
}

// Advisory returns the names of the headers that [ReadEnvelope] replaces when they are wrong.
func Advisory() []string {
	return []string{
		HeaderSpecVersion, HeaderSource, HeaderTime, HeaderContentType,
		HeaderCorrelationID, HeaderCausationID, HeaderTraceParent, HeaderTraceState,
	}
}

// StorableTime returns t in UTC, cut to microseconds and moved into the years 1 to 9999, which RFC
// 3339 and PostgreSQL can both write. Kafka's timestamps reach the year 292 million.
func StorableTime(t time.Time) time.Time {
	switch {
	case t.Before(minTime):
		return minTime
	case t.After(maxTime):
		return maxTime
	}
	return t.UTC().Truncate(time.Microsecond)
}

// Bounds of [StorableTime].
var (
	minTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
)

// reading is an envelope and what was wrong with the headers it comes from.
type reading struct {
	envelope Envelope
	first    error           // the first fault of any header
	identity error           // the first fault of a header that identity and order need
	wrong    map[string]bool // headers at fault
}

// fault records what is wrong with a header.
func (r *reading) fault(name string, err error) {
	r.repeated(name, err)
	switch name {
	case HeaderID, HeaderType, HeaderSubject, HeaderAggregateVersion, HeaderStyle:
		r.identity = cmp.Or(r.identity, err)
	}
}

// repeated records a header that is given twice with one value. Its producer is at fault, but its
// value is clear.
func (r *reading) repeated(name string, err error) {
	if r.wrong == nil {
		r.wrong = map[string]bool{}
	}
	r.wrong[name] = true
	r.first = cmp.Or(r.first, err)
}

func read(headers []Header) *reading {
	r := &reading{}
	attributes := r.collect(headers)
	for _, required := range []string{
		HeaderSpecVersion, HeaderID, HeaderSource, HeaderType, HeaderSubject,
		HeaderTime, HeaderAggregateVersion, HeaderContentType,
	} {
		if attributes[required] == "" && !r.wrong[required] {
			r.fault(required, errs.New(errs.Hopeless, "header %s is missing", required))
		}
	}
	r.envelope = Envelope{
		Source:        attributes[HeaderSource],
		Type:          attributes[HeaderType],
		Subject:       attributes[HeaderSubject],
		CorrelationID: attributes[HeaderCorrelationID],
		CausationID:   attributes[HeaderCausationID],
		ContentType:   attributes[HeaderContentType],
		TraceParent:   attributes[HeaderTraceParent],
		TraceState:    attributes[HeaderTraceState],
	}
	if v := attributes[HeaderSpecVersion]; v != "" && v != SpecVersion {
		r.fault(HeaderSpecVersion, errs.New(errs.Hopeless, "header %s is %q, not %q", HeaderSpecVersion, v, SpecVersion))
	}
	if v := attributes[HeaderID]; v != "" {
		id, err := parseID(v)
		if err != nil {
			r.fault(HeaderID, err)
		}
		r.envelope.ID = id
	}
	if v := attributes[HeaderTime]; v != "" {
		at, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			r.fault(HeaderTime, errs.New(errs.Hopeless, "header %s: %w", HeaderTime, err))
		} else {
			r.envelope.Time = StorableTime(at)
		}
	}
	if v := attributes[HeaderAggregateVersion]; v != "" {
		version, err := strconv.ParseInt(v, 10, 64)
		if err != nil || version < 1 {
			r.fault(HeaderAggregateVersion, errs.New(errs.Hopeless, "header %s is %q, not a number from 1", HeaderAggregateVersion, v))
		} else {
			r.envelope.AggregateVersion = version
		}
	}
	style, given := attributes[HeaderStyle]
	if parsed, err := ParseStyle(style); err != nil || given && style == "" {
		if !r.wrong[HeaderStyle] {
			r.fault(HeaderStyle, errs.New(errs.Hopeless, "header %s is %q, not the name of a style", HeaderStyle, style))
		}
	} else {
		r.envelope.Style = parsed
	}
	if r.wrong[HeaderTraceParent] && r.envelope.TraceParent == "" {
		r.envelope.TraceState = "" // it means nothing without its parent
	}
	return r
}

// collect selects the envelope's headers from all headers of a record. It leaves out headers that
// cannot be used.
func (r *reading) collect(headers []Header) map[string]string {
	attributes := make(map[string]string, 13)
	for _, h := range headers {
		switch h.Key {
		case HeaderSpecVersion, HeaderID, HeaderSource, HeaderType, HeaderSubject, HeaderTime,
			HeaderAggregateVersion, HeaderStyle, HeaderCorrelationID, HeaderCausationID, HeaderContentType,
			HeaderTraceParent, HeaderTraceState:
		default:
			continue
		}
		first, twice := attributes[h.Key]
		value := string(h.Value)
		switch {
		case twice && first == value:
			r.repeated(h.Key, errs.New(errs.Hopeless, "header %s is given twice", h.Key))
		case twice:
			r.fault(h.Key, errs.New(errs.Hopeless, "header %s is given twice, with two values", h.Key))
			attributes[h.Key] = ""
		case len(value) > maxAttribute:
			r.fault(h.Key, errs.New(errs.Hopeless, "header %s has %d bytes, more than %d", h.Key, len(value), maxAttribute))
			attributes[h.Key] = ""
		case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
			r.fault(h.Key, errs.New(errs.Hopeless, "header %s is not plain text", h.Key))
			attributes[h.Key] = ""
		default:
			attributes[h.Key] = value
		}
	}
	return attributes
}

// parseID accepts only the form that the outbox writes. Other versions of UUIDs carry no time, so
// the inbox could not decide when to forget them.
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
