package consumer

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
)

// Headers a dead letter carries besides its original ones. Values are UTF-8
// text; times are RFC 3339 in UTC with nanoseconds.
const (
	HeaderDeadLetterID      = "dlq_id"                 // UUIDv7 of the dead letter itself
	HeaderOriginalTopic     = "dlq_original_topic"     //
	HeaderOriginalPartition = "dlq_original_partition" // decimal
	HeaderOriginalOffset    = "dlq_original_offset"    // decimal
	HeaderOriginalTimestamp = "dlq_original_timestamp" //
	HeaderGroup             = "dlq_group"              // the consumer group that gave up
	HeaderErrorClass        = "dlq_error_class"        // an errs.Kind
	HeaderErrorMessage      = "dlq_error_message"      //
	HeaderErrorStack        = "dlq_error_stack"        // where it was given up
	HeaderAttempts          = "dlq_attempts"           // decimal, counting from 1
	HeaderFirstFailure      = "dlq_first_failure"      //
	HeaderLastFailure       = "dlq_last_failure"       //
	HeaderPayloadOmitted    = "dlq_payload_omitted"    // decimal: bytes of a payload too large to be sent again
)

// maxErrorText bounds message and stack of a dead letter, in bytes: they explain,
// the original bytes are what must not be lost.
const maxErrorText = 8 << 10

// deadLetterOf makes the outbox record that moves a record to the dead-letter
// topic of this group: the original bytes, key and headers, untouched, plus all
// that is needed to find, understand, repair and resubmit it.
//
// A record near the broker's size limit has no room for that. It is sent without
// its payload, and if need be without its own headers and key; the original stays
// where the headers say it is, on a topic that keeps everything.
func (c *Consumer) deadLetterOf(it *item, attempts int, now time.Time) (outbox.Raw, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return outbox.Raw{}, err
	}
	r := it.record
	failed := now.UTC().Format(time.RFC3339Nano)
	about := []events.Header{
		text(HeaderDeadLetterID, id.String()),
		text(HeaderOriginalTopic, r.Topic),
		text(HeaderOriginalPartition, strconv.FormatInt(int64(r.Partition), 10)),
		text(HeaderOriginalOffset, strconv.FormatInt(r.Offset, 10)),
		text(HeaderOriginalTimestamp, r.Timestamp.UTC().Format(time.RFC3339Nano)),
		text(HeaderGroup, c.cfg.Group),
		text(HeaderErrorClass, errs.KindOf(it.cause).String()),
		text(HeaderErrorMessage, clip(it.cause.Error())),
		text(HeaderErrorStack, clip(string(it.stack))),
		text(HeaderAttempts, strconv.Itoa(attempts)),
		text(HeaderFirstFailure, failed),
		text(HeaderLastFailure, failed),
	}
	raw := outbox.Raw{
		ID:      id,
		Topic:   events.DeadLetterTopic(r.Topic, c.cfg.Group).Name,
		Key:     r.Key,
		Payload: r.Value,
		Headers: append(headers(r), about...),
	}
	if raw.Size() > outbox.MaxRaw {
		about = append(about, text(HeaderPayloadOmitted, strconv.Itoa(len(r.Value))))
		raw.Payload, raw.Headers = nil, append(headers(r), about...)
	}
	if raw.Size() > outbox.MaxRaw {
		raw.Key, raw.Headers = nil, about
	}
	return raw, nil
}

// clip shortens a text that explains.
func clip(s string) string {
	if len(s) <= maxErrorText {
		return s
	}
	return strings.ToValidUTF8(s[:maxErrorText], "") + "…"
}

func text(key, value string) events.Header {
	return events.Header{Key: key, Value: []byte(value)}
}
