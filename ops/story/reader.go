package story

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/saga"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/schema"
)

const (
	// openWithin bounds the first requests to Kafka. A frozen broker accepts connections and does
	// not answer.
	openWithin = 10 * time.Second
	// readWithin bounds the reading of the partitions, which may be long.
	readWithin = 30 * time.Second
)

// ErrUnknown reports that neither the order service nor a topic has such an order.
var ErrUnknown = errors.New("there is no such order")

// Sources are the sources of stories.
type Sources struct {
	URL    map[string]string // of order, payment, inventory, shipping, gateway and registry
	DSN    map[string]string // databases by service
	Kafka  kafka.Cluster
	Topics []event.Topic // the topics that the shop declares, with retry topics
	Fleet  *operators.Fleet
	Sagas  *saga.Shop
	// Registries are the schema registries of the services, by service. The others use the one at
	// URL["registry"].
	Registries map[string]*schema.Client
	Now        func() time.Time // nil: time.Now
}

// Reader reads the story of one order, as often as it is asked. Create it with [New] and close it
// with [Reader.Close]. It is not safe for concurrent use.
type Reader struct {
	src     Sources
	orderID string
	topics  topicReader
	opened  bool
	whole   bool // the partitions are read from their start
	records []record
	codecs  map[string]decoder // by service
	codec   decoder            // for the others
}

// New returns a Reader of an order. It sends no request yet.
func New(src Sources, orderID uuid.UUID) *Reader {
	if src.Now == nil {
		src.Now = time.Now
	}
	t := &Reader{src: src, orderID: orderID.String(), codecs: map[string]decoder{}, codec: schema.NewCodec(schema.NewClient(src.URL["registry"]), events.Catalogue())}
	for service, registry := range src.Registries {
		t.codecs[service] = schema.NewCodec(registry, events.Catalogue())
	}
	t.topics = topicReader{cluster: src.Kafka, key: t.orderID}
	for _, topic := range src.Topics {
		if !strings.HasSuffix(topic.Name, ".dlq") { // the operator listeners have the state of dead letters
			t.topics.topics = append(t.topics.topics, topic.Name)
		}
	}
	t.whole = timeOf(orderID).IsZero()
	return t
}

// decoder returns the decoder of a service's records, with that service's own registry. Two
// registries use the same small numbers for different schemas.
func (t *Reader) decoder(service string) decoder {
	if own := t.codecs[service]; own != nil {
		return own
	}
	return t.codec
}

// Close closes the connections to Kafka.
func (t *Reader) Close() { t.topics.close() }

// Read reads the order's story now. The story names each service that does not answer. The error is
// [ErrUnknown] or the context's.
func (t *Reader) Read(ctx context.Context) (Story, error) {
	s := Story{OrderID: t.orderID, At: t.src.Now(), DeadLetters: []operators.Summary{}, Retries: []Retry{}, WaitsFor: []Wait{}}
	var missing []error
	known, failed := t.look(ctx, &s) // first: the events behind a service's answer exist by now
	missing = append(missing, failed...)
	records, failed := t.read(ctx)
	missing = append(missing, failed...)
	list, retries, undecoded := tell(ctx, t.orderID, records, t.decoder)
	list, failed = t.confirm(ctx, list)
	missing = append(missing, failed...)
	if t.hasHole(list) {
		t.whole, t.opened = true, false
		if records, failed = t.read(ctx); len(failed) == 0 {
			list, retries, undecoded = tell(ctx, t.orderID, records, t.decoder)
			list, failed = t.confirm(ctx, list)
		}
		missing = append(missing, failed...)
	}
	if undecoded != nil {
		missing = append(missing, undecoded)
	}
	s.Events, s.Retries = list, append(s.Retries, retries...)
	if err := ctx.Err(); err != nil {
		return s, err
	}
	if !known && len(s.Events) == 0 {
		return s, fmt.Errorf("order %s: %w", t.orderID, ErrUnknown)
	}
	s.Style = styleOf(s)
	s.Ended = s.Status() == delivered || s.Status() == cancelled || s.Order == nil && ended(s.Events)
	missing = append(missing, t.holds(ctx, &s)...)
	for _, err := range missing {
		if text := err.Error(); !slices.Contains(s.Missing, text) {
			s.Missing = append(s.Missing, text)
		}
	}
	return s, nil
}

// ended reports whether the events include the end of the order.
func ended(list []Event) bool {
	return slices.ContainsFunc(list, func(e Event) bool {
		return e.counts() && (e.Type == "OrderDelivered" || e.Type == "OrderCancelled")
	})
}

// styleOf returns the style of the order's saga: as the order service has it, else as the order's
// events have it. Events of before the two styles are choreographed.
func styleOf(s Story) string {
	if s.Order != nil && s.Order.Style != "" {
		return s.Order.Style
	}
	for _, e := range s.Events {
		if e.counts() {
			return cmp.Or(e.Style, string(event.Choreographed))
		}
	}
	return string(event.Choreographed)
}

// hasHole reports whether more of the order may lie before the part that was read.
func (t *Reader) hasHole(list []Event) bool {
	if t.whole || !t.opened {
		return false
	}
	begun := slices.ContainsFunc(list, func(e Event) bool { return e.Type == "OrderCreated" && e.counts() })
	return !begun || slices.ContainsFunc(list, func(e Event) bool { return e.counts() && e.Cause.Kind == ByUnknown })
}

// confirm looks up events with undecodable values in the outboxes: an event that an outbox has is
// not a foreign record. Outboxes drop old rows, so an event that is not found stays as it is.
func (t *Reader) confirm(ctx context.Context, list []Event) ([]Event, []error) {
	var ids []string
	for _, e := range list {
		if e.ID != "" && !e.counts() && (e.doubtful() || e.Problem == undecodable) && len(e.value) > 0 {
			ids = append(ids, e.ID)
		}
	}
	if len(ids) == 0 {
		return list, nil
	}
	rows, failed := outboxes(ctx, t.src.DSN, t.orderID, named(ids))
	for i := range list {
		e := &list[i]
		same := func(r record) bool {
			return r.topic == e.Topic && bytes.Equal(r.value, e.value) && slices.ContainsFunc(r.headers, func(h event.Header) bool {
				return h.Key == event.HeaderID && string(h.Value) == e.ID
			})
		}
		if slices.Contains(ids, e.ID) && slices.ContainsFunc(rows, same) {
			e.ours = true
			if e.Problem == undecodable {
				e.Problem = ""
			}
		}
	}
	return arrange(list), failed // a confirmed event may be a cause
}

// read returns all records of the order: those of the topics, and those that are only in the
// outboxes. While Kafka does not answer, it returns those of the outboxes. It reads the outboxes
// before the topics, so that an event published in between is seen twice and not missed.
func (t *Reader) read(ctx context.Context) ([]record, []error) {
	var failed []error
	from := t.from()
	found, errs := outboxes(ctx, t.src.DSN, t.orderID, unpublished())
	if err := t.readTopics(ctx, from); err != nil {
		failed = append(failed, fmt.Errorf("the topics cannot be read, what the outboxes keep is shown in their place: %w", err))
		t.opened = false
		found, errs = outboxes(ctx, t.src.DSN, t.orderID, kept(from))
	}
	for _, topic := range t.topics.absent {
		failed = append(failed, fmt.Errorf("topic %s does not exist", topic))
	}
	return slices.Concat(t.records, found), append(failed, errs...)
}

// from returns the time from which records are read; zero is the beginning.
func (t *Reader) from() time.Time {
	id, err := uuid.Parse(t.orderID)
	if err != nil || t.whole {
		return time.Time{}
	}
	return timeOf(id).Add(-margin)
}

// readTopics reads the records that were added to the topics.
func (t *Reader) readTopics(ctx context.Context, from time.Time) error {
	if !t.opened {
		t.records = nil
		bounded, cancel := context.WithTimeout(ctx, openWithin)
		defer cancel()
		if err := t.topics.open(bounded, from); err != nil {
			return err
		}
		t.opened = true
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	more, err := t.topics.read(ctx)
	t.records = append(t.records, more...)
	return err
}

// holds fills in what the order waits for, what blocks it, and its dead letters.
func (t *Reader) holds(ctx context.Context, s *Story) (failed []error) {
	letters := operators.ListAll(ctx, t.src.Fleet.Groups, operators.Filter{Key: t.orderID, Status: operators.AnyStatus}, 0)
	failed = operators.Failures(letters)
	for _, a := range letters {
		s.DeadLetters = append(s.DeadLetters, a.Value.DeadLetters...)
	}
	slices.SortFunc(s.DeadLetters, func(a, b operators.Summary) int { return strings.Compare(a.ID, b.ID) }) // UUIDv7: by time
	under := saga.Saga{OrderID: t.orderID}
	if s.Order != nil {
		under.Status, under.NeedsAttention, under.Attention = s.Order.Status, s.Order.NeedsAttention, s.Order.Attention
		under.PlacedAt, under.ConfirmBy = s.Order.PlacedAt, s.Order.ConfirmBy
	}
	for _, e := range s.Events {
		if e.counts() && e.recorded.After(under.UpdatedAt) {
			under.UpdatedAt = e.recorded
		}
	}
	failed = append(failed, t.src.Sagas.Complete(ctx, &under)...)
	waits, rest := waiting(*s, under.Holds)
	s.WaitsFor, s.HeldBy = append(s.WaitsFor, waits...), rest
	return failed
}
