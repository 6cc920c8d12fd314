package retry

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
)

// Headers of a retry record besides its original ones. Values are UTF-8 text; times are RFC 3339 in
// UTC with nanoseconds.
const (
	HeaderRetryID        = "retry_id"                 // UUIDv7; counts while it is its key's head
	HeaderRetryGroup     = "retry_group"              // the consumer group that tries again
	HeaderAttempts       = "retry_attempts"           // decimal: attempts that failed so far
	HeaderNotBefore      = "retry_not_before"         // of the next attempt
	HeaderTopic          = "retry_original_topic"     //
	HeaderPartition      = "retry_original_partition" // decimal
	HeaderOffset         = "retry_original_offset"    // decimal
	HeaderTimestamp      = "retry_original_timestamp" //
	HeaderInboxID        = "retry_inbox_id"           // the id of the record's inbox row
	HeaderFirstFailure   = "retry_first_failure"      //
	HeaderLastFailure    = "retry_last_failure"       //
	HeaderErrorClass     = "retry_error_class"        // an errs.Kind
	HeaderErrorMessage   = "retry_error_message"      //
	HeaderErrorStack     = "retry_error_stack"        //
	HeaderDeadLetter     = "retry_dead_letter"        // the dead letter this resubmits
	HeaderSkip           = "retry_skip"               // "true": discarded, only its followers go on
	HeaderPayloadOmitted = "retry_payload_omitted"    // "true": too large beside these headers; parked_keys has it

	retryPrefix = "retry_"
)

// headers returns the original headers followed by those of the retry. It leaves out original
// headers with this package's prefix, because ParseHead would take them for its own.
func (h Head) headers(group string) []event.Header {
	all := slices.DeleteFunc(slices.Clone(h.Record.Headers), func(o event.Header) bool { return strings.HasPrefix(o.Key, retryPrefix) })
	all = append(all,
		text(HeaderRetryID, h.ID.String()),
		text(HeaderRetryGroup, group),
		text(HeaderAttempts, strconv.Itoa(h.Attempts)),
		text(HeaderNotBefore, stamp(h.NotBefore)),
		text(HeaderTopic, h.Topic),
		text(HeaderPartition, strconv.FormatInt(int64(h.Partition), 10)),
		text(HeaderOffset, strconv.FormatInt(h.Offset, 10)),
		text(HeaderTimestamp, stamp(h.Time)),
		text(HeaderInboxID, h.InboxID.String()),
	)
	if h.Attempts > 0 {
		all = append(all,
			text(HeaderFirstFailure, stamp(h.First)),
			text(HeaderLastFailure, stamp(h.Last)),
			text(HeaderErrorClass, h.Class),
			text(HeaderErrorMessage, h.Message),
			text(HeaderErrorStack, h.Stack),
		)
	}
	if h.DeadLetter != uuid.Nil {
		all = append(all, text(HeaderDeadLetter, h.DeadLetter.String()))
	}
	if h.Skip {
		all = append(all, text(HeaderSkip, "true"))
	}
	return all
}

// ParseHead reads a retry record of the given group. The prefix of its headers distinguishes them
// from the original's; no CloudEvents attribute has it. omitted is true when the value is missing
// because it was too large to be sent beside the headers.
//
// The error is of kind errs.Hopeless when the record is no retry record of this group. Such a
// record has no effect, because no key has it as its head.
func ParseHead(group string, key, value []byte, headers []event.Header) (h Head, omitted bool, err error) {
	meta := map[string]string{}
	h.Key, h.Value = key, value
	for _, header := range headers {
		if strings.HasPrefix(header.Key, retryPrefix) {
			meta[header.Key] = string(header.Value)
			continue
		}
		h.Record.Headers = append(h.Record.Headers, header)
	}
	// An original without an identity has no type that can be trusted.
	if env, _, err := event.ReadEnvelope(h.Record.Headers, time.Time{}); err == nil {
		h.EventType = env.Type
	}
	p := parser{meta: meta}
	if g := meta[HeaderRetryGroup]; g != group {
		return Head{}, false, errs.New(errs.Hopeless, "retry record of group %q, not %q", g, group)
	}
	h.ID = p.id(HeaderRetryID)
	h.Attempts = int(p.number(HeaderAttempts, 32))
	h.NotBefore = p.time(HeaderNotBefore)
	h.Topic = meta[HeaderTopic]
	h.Partition = int32(p.number(HeaderPartition, 32))
	h.Offset = p.number(HeaderOffset, 64)
	h.Time = p.time(HeaderTimestamp)
	h.InboxID = p.id(HeaderInboxID)
	if h.Attempts > 0 {
		h.First, h.Last = p.time(HeaderFirstFailure), p.time(HeaderLastFailure)
		h.Class, h.Message, h.Stack = meta[HeaderErrorClass], meta[HeaderErrorMessage], meta[HeaderErrorStack]
	}
	if _, ok := meta[HeaderDeadLetter]; ok {
		h.DeadLetter = p.id(HeaderDeadLetter)
	}
	h.Skip = meta[HeaderSkip] == "true"
	if p.err != nil {
		return Head{}, false, p.err
	}
	return h, meta[HeaderPayloadOmitted] == "true", nil
}

// parser keeps the first error of the headers.
type parser struct {
	meta map[string]string
	err  error
}

func (p *parser) fail(name string, err error) {
	if err != nil && p.err == nil {
		p.err = errs.New(errs.Hopeless, "header %s: %w", name, err)
	}
}

func (p *parser) id(name string) uuid.UUID {
	id, err := uuid.Parse(p.meta[name])
	p.fail(name, err)
	return id
}

func (p *parser) number(name string, bits int) int64 {
	n, err := strconv.ParseInt(p.meta[name], 10, bits)
	p.fail(name, err)
	return n
}

func (p *parser) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, p.meta[name])
	p.fail(name, err)
	return t
}

func text(key, value string) event.Header { return event.Header{Key: key, Value: []byte(value)} }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
