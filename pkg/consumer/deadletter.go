package consumer

import (
	"strconv"
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
)

// deadLetterOf makes the outbox record that moves a record to the dead-letter
// topic of this group: the original bytes, key and headers, untouched, plus all
// that is needed to find, understand, repair and resubmit it.
func (c *Consumer) deadLetterOf(it *item, attempts int, now time.Time) (outbox.Raw, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return outbox.Raw{}, err
	}
	r := it.record
	failed := now.UTC().Format(time.RFC3339Nano)
	hs := append(headers(r),
		text(HeaderDeadLetterID, id.String()),
		text(HeaderOriginalTopic, r.Topic),
		text(HeaderOriginalPartition, strconv.FormatInt(int64(r.Partition), 10)),
		text(HeaderOriginalOffset, strconv.FormatInt(r.Offset, 10)),
		text(HeaderOriginalTimestamp, r.Timestamp.UTC().Format(time.RFC3339Nano)),
		text(HeaderGroup, c.cfg.Group),
		text(HeaderErrorClass, errs.KindOf(it.cause).String()),
		text(HeaderErrorMessage, it.cause.Error()),
		text(HeaderErrorStack, string(it.stack)),
		text(HeaderAttempts, strconv.Itoa(attempts)),
		text(HeaderFirstFailure, failed),
		text(HeaderLastFailure, failed),
	)
	return outbox.Raw{
		ID:      id,
		Topic:   events.DeadLetterTopic(r.Topic, c.cfg.Group).Name,
		Key:     r.Key,
		Payload: r.Value,
		Headers: hs,
	}, nil
}

func text(key, value string) events.Header {
	return events.Header{Key: key, Value: []byte(value)}
}
