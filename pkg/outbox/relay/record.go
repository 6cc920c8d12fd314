package relay

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
)

// record is one publication of an outbox row in memory, from the read to the mark.
type record struct {
	seq int64
	// publication is the entry's number. With seq it identifies what the mark removes.
	publication int64
	id          uuid.UUID
	shard       int16
	orderKey    orderKey
	size        int
	created     time.Time
	kafka       *kgo.Record
	sentAt      time.Time // zero while it waits behind an earlier record of its order key
	single      bool      // it must be sent in a batch of its own
	partition   partition // where it waits for the single producer
	broken      error     // why the row cannot become a record; it is not sent
}

// column is a column's bytes in the driver's memory, valid until the next row; nil is NULL.
type column []byte

// ScanBytes implements [pgtype.BytesScanner].
func (c *column) ScanBytes(b []byte) error {
	*c = b
	return nil
}

// envelopeHeaders is the largest number of headers that an event's columns become.
const envelopeHeaders = 13

// scanRecord never fails because of a row's content. A row that cannot become a record is treated
// like one that the broker refused, and delays only its key. Scanning was a third of the relay's
// CPU, so all bytes of a row are copied at once, and headers are slices of the copy.
func scanRecord(row pgx.CollectableRow) (*record, error) {
	var (
		rec                                         record
		id                                          pgtype.UUID
		topic, key, payload, headers                column
		eventType, subject                          column
		source, at, correlation, causation, content column
		parent, state, style                        column
		version                                     pgtype.Int8
	)
	err := row.Scan(&rec.seq, &rec.publication, &id, &rec.shard, &topic, &key, &payload, &rec.created, &rec.size,
		&eventType, &subject, &source, &at, &version, &correlation, &causation, &content, &parent, &state, &style, &headers)
	if err != nil {
		return nil, err
	}
	rec.id = id.Bytes
	size := len(key) + len(payload)
	for _, c := range []column{eventType, subject, source, at, correlation, causation, content, parent, state, style} {
		size += len(c)
	}
	own := make(copier, 0, size+len(event.SpecVersion)+len(uuid.Nil.String())+len("-9223372036854775808"))
	rec.orderKey.topic = string(topic)
	rec.orderKey.key = string(key)
	if key == nil {
		rec.orderKey.row = rec.seq
	}
	rec.kafka = &kgo.Record{Topic: rec.orderKey.topic, Key: own.bytes(key), Value: own.bytes(payload)}
	if source != nil {
		written, err := canonicalTime(at)
		if err != nil {
			rec.broken = fmt.Errorf("ce_time of outbox row %s: %w", rec.id, err)
		}
		rec.kafka.Headers = append(make([]kgo.RecordHeader, 0, envelopeHeaders),
			kgo.RecordHeader{Key: event.HeaderSpecVersion, Value: own.text(event.SpecVersion)},
			kgo.RecordHeader{Key: event.HeaderID, Value: own.id(rec.id)},
			kgo.RecordHeader{Key: event.HeaderSource, Value: own.bytes(source)},
			kgo.RecordHeader{Key: event.HeaderType, Value: own.bytes(eventType)},
			kgo.RecordHeader{Key: event.HeaderSubject, Value: own.bytes(subject)},
			kgo.RecordHeader{Key: event.HeaderTime, Value: own.bytes(written)},
			kgo.RecordHeader{Key: event.HeaderAggregateVersion, Value: own.number(version.Int64)},
			kgo.RecordHeader{Key: event.HeaderContentType, Value: own.bytes(content)},
			kgo.RecordHeader{Key: event.HeaderStyle, Value: own.bytes(style)},
		)
		add := func(name string, value column, always bool) {
			if len(value) > 0 || always {
				rec.kafka.Headers = append(rec.kafka.Headers, kgo.RecordHeader{Key: name, Value: own.bytes(value)})
			}
		}
		add(event.HeaderCorrelationID, correlation, false)
		add(event.HeaderCausationID, causation, false)
		add(event.HeaderTraceParent, parent, false)
		add(event.HeaderTraceState, state, len(parent) > 0)
	}
	if headers != nil {
		var stored []event.Header
		if err := json.Unmarshal(headers, &stored); err != nil {
			rec.broken = fmt.Errorf("headers of outbox row %s: %w", rec.id, err)
		}
		for _, h := range stored {
			rec.kafka.Headers = append(rec.kafka.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	return &rec, nil
}

// copier collects copies of a row's columns in one piece of memory. Its capacity is enough for all
// of them; a larger one would only cost an allocation.
type copier []byte

// bytes copies a value. NULL stays nil: a key or payload without bytes is not one that is missing.
func (c *copier) bytes(value []byte) []byte {
	if value == nil {
		return nil
	}
	from := len(*c)
	*c = append(*c, value...)
	return (*c)[from:len(*c):len(*c)]
}

func (c *copier) text(value string) []byte {
	from := len(*c)
	*c = append(*c, value...)
	return (*c)[from:len(*c):len(*c)]
}

func (c *copier) number(n int64) []byte {
	from := len(*c)
	*c = strconv.AppendInt(*c, n, 10)
	return (*c)[from:len(*c):len(*c)]
}

func (c *copier) id(id uuid.UUID) []byte {
	text, _ := id.MarshalText() // never fails
	return c.bytes(text)
}

// canonicalTime checks a time and returns it as [event.Envelope.Headers] writes it. Append writes
// it so already. Rows of earlier builds may have fewer digits.
func canonicalTime(at []byte) ([]byte, error) {
	parsed, err := time.Parse(time.RFC3339Nano, string(at))
	if err != nil {
		return at, err
	}
	if len(at) == len("2006-01-02T15:04:05.000000Z") && at[len(at)-1] == 'Z' {
		return at, nil
	}
	for _, h := range (event.Envelope{Time: parsed}).Headers() {
		if h.Key == event.HeaderTime {
			return h.Value, nil
		}
	}
	return at, nil
}
