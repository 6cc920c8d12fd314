package verify

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// shop is real consumers of order.events, of all groups except order's, each with its own database.
// Their handlers do nothing or fail.
type shop struct {
	brokers []string
	codec   *schema.Codec
	conns   map[string]*pgx.Conn
	pools   map[string]*pgxpool.Pool
}

func newShop(t *testing.T) *shop {
	t.Helper()
	var topics []event.Topic
	for _, name := range []string{events.TopicOrderEvents, events.TopicPaymentEvents} {
		topics = append(topics, event.Topic{Name: name, Partitions: 1})
		for _, group := range groups() {
			topics = append(topics, event.RetryTopic(name, group), event.DeadLetterTopic(name, group))
		}
	}
	s := &shop{
		brokers: kafkatest.Start(t, topics...), codec: schematest.Start(t).Codec(events.Catalogue()),
		conns: map[string]*pgx.Conn{}, pools: map[string]*pgxpool.Pool{},
	}
	if err := s.codec.Register(t.Context(), events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	for _, group := range groups() {
		components := []postgres.Component{eventstore.Component(), outbox.Component(), inbox.Component(), retry.Component()}
		if group == projector {
			components = append(components, position.Component())
		}
		if group == mailer {
			components = append(components, postgres.Component{Name: mailer, FS: os.DirFS("../../services/notification/migrations")})
		}
		url := pgtest.NewURL(t, components...)
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		s.conns[group], s.pools[group] = c, pool
	}
	return s
}

// nothing is the set of a model that stores nothing.
type nothing struct{}

func (nothing) Get(string) nothing                 { return nothing{} }
func (nothing) Put(string, nothing)                {}
func (nothing) Save(context.Context, pgx.Tx) error { return nil }

// failing returns a model whose input is the failure of its decision.
func failing() *reaction.Model[nothing, error] {
	return &reaction.Model[nothing, error]{
		Load: func(context.Context, pgx.Tx, []reaction.Step[error]) (reaction.Set[nothing], error) {
			return nothing{}, nil
		},
		Decide: func(_ nothing, s reaction.Step[error]) (reaction.Decision[nothing], error) {
			return reaction.Decision[nothing]{}, s.Input
		},
	}
}

// consume runs a group's consumer and relay until the test ends. fails returns the failure of an
// event type of an order.
func (s *shop) consume(t *testing.T, group string, fails func(typ, order string) error) {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	out := outbox.New(outbox.Config{Source: "/eventshop/" + group, Types: s.codec.Types(), Encode: s.codec.Encode, CanEncode: s.codec.CanEncode})
	handled := func(typ string) bool { return slices.Contains(Subscribers(typ), group) }
	cfg := consumer.Config{
		Group: group, Brokers: s.brokers, Pool: s.pools[group], Types: s.codec.Types(), Decode: s.codec.Decode, Encodable: s.codec.Encodable, Outbox: out, Logger: quiet,
		Retry:     consumer.Retry{Backoff: consumer.Backoff{Base: time.Hour, Max: time.Hour}},
		Positions: group == projector,
	}
	if handled("OrderCreated") {
		cfg.Subscriptions = append(cfg.Subscriptions, consumer.On(failing(), func(e consumer.Event[events.OrderCreated]) error {
			return fails(e.Type, e.Data.OrderID)
		}).Of(subscriptions()[group]["OrderCreated"]))
	}
	if handled("OrderCancellationRequested") {
		cfg.Subscriptions = append(cfg.Subscriptions, consumer.On(failing(), func(e consumer.Event[events.OrderCancellationRequested]) error {
			return fails(e.Type, e.Data.OrderID)
		}).Of(subscriptions()[group]["OrderCancellationRequested"]))
	}
	// The test produces neither of these. Without them, some groups would have no subscription, or
	// would not read order.events.
	if handled("PaymentFailed") {
		cfg.Subscriptions = append(cfg.Subscriptions, consumer.On(failing(), func(consumer.Event[events.PaymentFailed]) error { return nil }))
	}
	if handled("OrderDelivered") {
		cfg.Subscriptions = append(cfg.Subscriptions, consumer.On(failing(), func(consumer.Event[events.OrderDelivered]) error { return nil }))
	}
	c, err := consumer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	relay := relay.New(s.pools[group], out, relay.Config{Brokers: s.brokers, Logger: quiet})
	for _, run := range []func(context.Context) error{c.Run, relay.Run} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", group, err)
			}
		})
	}
}

// facts reads the facts for the checks of failures.
func (s *shop) facts(t *testing.T) Facts {
	t.Helper()
	f := Facts{At: time.Now()}
	var err error
	if f.Inbox, err = inboxes(t.Context(), s.conns); err != nil {
		t.Fatal(err)
	}
	if err := f.positions(t.Context(), s.conns); err != nil {
		t.Fatal(err)
	}
	if f.Outbox, err = outboxes(t.Context(), s.conns); err != nil {
		t.Fatal(err)
	}
	if f.Failures, f.Undecoded, err = failures(t.Context(), s.conns, oneRegistry(s.codec)); err != nil {
		t.Fatal(err)
	}
	if err := readTopics(t.Context(), Sources{Kafka: kafka.Cluster{Brokers: s.brokers}}, oneRegistry(s.codec), &f); err != nil {
		t.Fatal(err)
	}
	f.Undecoded = blameless(f)
	return f
}

// TestWhatConsumersLeaveIsSettled makes real consumers fail at all kinds of records and checks the
// facts that they leave.
func TestWhatConsumersLeaveIsSettled(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, group := range groups() {
		if group != "payment" && group != "shipping" { // whose handlers fail, below
			s.consume(t, group, func(string, string) error { return nil })
		}
	}
	s.consume(t, "payment", func(_, order string) error {
		if order == "order-retried" {
			return errors.New("not yet")
		}
		return nil
	})
	var healed atomic.Bool
	s.consume(t, "shipping", func(typ, order string) error {
		if order == "order-dead" && typ == "OrderCreated" && !healed.Load() {
			return errs.New(errs.Hopeless, "never")
		}
		return nil
	})

	const choreographed = event.Choreographed
	event := func(e event.Event, spoil func(*kgo.Record)) *kgo.Record {
		r := kafkatest.Record(t, s.codec, e)
		spoil(r)
		return r
	}
	asIs := func(*kgo.Record) {}
	created := events.OrderCreated{OrderID: "order-good", OccurredAt: began}
	copied := event(created, asIs)
	again := *copied
	kafkatest.Produce(t, s.brokers,
		copied, &again,
		event(events.OrderCreated{OrderID: "order-retried", OccurredAt: began}, func(r *kgo.Record) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "retry_id", Value: []byte("a stranger's")})
		}),
		event(events.OrderCreated{OrderID: "order-dead", OccurredAt: began}, asIs),
		event(events.OrderCancellationRequested{OrderID: "order-dead", OccurredAt: began}, asIs),
		event(created, func(r *kgo.Record) { r.Value = r.Value[:7] }),
		event(created, func(r *kgo.Record) { r.Key = []byte("order-other") }),
		&kgo.Record{Topic: events.TopicOrderEvents},
		&kgo.Record{Topic: events.TopicOrderEvents, Key: []byte{}, Value: []byte{}},
		&kgo.Record{Topic: events.TopicOrderEvents, Key: []byte("\xff\x00"), Value: []byte("rubbish"), Headers: []kgo.RecordHeader{
			{Key: retry.HeaderDLQID, Value: []byte(uuid.NewString())}, {Key: "\x00", Value: nil}, {Key: "empty", Value: []byte{}},
		}},
	)
	// A foreign record without room for the headers of a dead letter.
	big := kafkatest.NewClient(t, s.brokers, kgo.ProducerBatchMaxBytes(1_048_588))
	if err := big.ProduceSync(t.Context(), &kgo.Record{Topic: events.TopicOrderEvents, Value: bytes.Repeat([]byte{1}, outbox.MaxRaw)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	adm := kadm.NewClient(kafkatest.NewClient(t, s.brokers))
	calm := func() (calm, held bool) {
		t.Helper()
		calm, held, err := atRest(t.Context(), Sources{}, adm, s.conns, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return calm, held
	}
	// Four records have no type, so every group that reads the topic gives them up; one of the four
	// is so large that its copy has no payload. Two are no OrderCreated. Shipping gives one event up.
	readers := len(Readers(events.TopicOrderEvents))
	letters := 4*readers + 2*len(SubscribersOf("OrderCreated", choreographed)) + 1
	read := func() bool {
		f := s.facts(t)
		return len(f.DeadLetters) == letters && settled(f).OK()
	}
	kafkatest.Eventually(t, "every record settled", read)
	kafkatest.Eventually(t, "rest", func() bool { c, _ := calm(); return c })

	f := s.facts(t)
	for _, r := range []Finding{settled(f), resubmissions(f)} {
		if !r.OK() {
			t.Errorf("%s: %v", r.Invariant, r.Breaches)
		}
	}
	omitted := 0
	for _, c := range f.Copies {
		if c.Omitted {
			omitted++
		}
	}
	got := []int{len(f.ParkedRecords), len(f.Retries), len(f.Copies), omitted}
	if diff := cmp.Diff([]int{1, 1, letters, readers}, got); diff != "" {
		t.Errorf("parked records, retries, copies, copies without payload (-want +got):\n%s", diff)
	}

	s.decide(t, f, &healed)

	// Load waits for an order under way, but not for one that waits for an operator or a retry.
	for i, stream := range []string{"order-good", "order-retried", "order-under-way"} {
		if c, _ := calm(); !c {
			t.Fatalf("not at rest before %s", stream)
		}
		if _, err := s.pools["order"].Exec(t.Context(), `INSERT INTO events (stream_id, version, event_type, data)
			VALUES ($1, 1, 'OrderCreated', '{}')`, stream); err != nil {
			t.Fatal(err)
		}
		if c, held := calm(); c != (i < 2) || c && !held {
			t.Errorf("with %s under way: at rest %t, held %t", stream, c, held)
		}
	}
}

// decide resubmits, edits and discards dead letters as an operator would, each of them more than
// once, and checks again.
func (s *shop) decide(t *testing.T, f Facts, healed *atomic.Bool) {
	t.Helper()
	healed.Store(true)
	ctx := t.Context()
	out := outbox.New(outbox.Config{Source: "/eventshop/operator", Types: s.codec.Types(), Encode: s.codec.Encode, CanEncode: s.codec.CanEncode})
	value, err := s.codec.Encode(ctx, events.OrderCreated{OrderID: "order-good", OccurredAt: began})
	if err != nil {
		t.Fatal(err)
	}
	fixed, reopened := 0, 0
	for _, l := range f.DeadLetters {
		store, pool := retry.New(l.Group, out), s.pools[l.Group]
		switch {
		case l.EventID == uuid.Nil && l.Group == "inventory":
			if _, err := store.Discard(ctx, pool, l.ID, "anna", "a stranger's", false); err != nil {
				t.Fatal(err)
			}
			continue
		case l.Type == "OrderCreated" && l.Key == "order-good" && l.Group == projector:
			if _, err := store.Edit(ctx, pool, l.ID, "anna", retry.Edit{Value: &value}, false); err != nil {
				t.Fatal(err)
			}
			fixed++
		case l.EventID == uuid.Nil && l.Group == "payment":
			reopened++
		case l.Key == "order-dead":
		default:
			continue
		}
		for range 3 {
			if _, err := store.Resubmit(ctx, pool, l.ID, "anna", "", false); err != nil {
				t.Fatal(err)
			}
		}
	}
	kafkatest.Eventually(t, "every decision to have its end", func() bool {
		ends := map[string]int{}
		for _, l := range s.facts(t).DeadLetters {
			ends[l.Status]++
			if count(&l, "failed_again") > 0 {
				ends["failed again"]++
			}
		}
		return ends["resolved"] == 2 && ends["discarded"] == 4 && ends["failed again"] == reopened && ends["resubmitted"] == 0
	})
	f = s.facts(t)
	for _, r := range []Finding{settled(f), resubmissions(f)} {
		if !r.OK() {
			t.Errorf("after decisions, %s: %v", r.Invariant, r.Breaches)
		}
	}
	repaired := 0
	for _, rec := range heard(f) {
		for _, l := range f.DeadLetters {
			if l.Repaired != nil && rec.Place() == l.Place && rec.Event != nil {
				repaired++
			}
		}
	}
	if fixed != 1 || reopened != 4 || repaired != 1 || len(f.ParkedRecords) != 0 {
		t.Errorf("%d repaired, %d failed again, %d heard as repaired, %d parked", fixed, reopened, repaired, len(f.ParkedRecords))
	}
}
