package story

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/operators/opstest"
	"eventshop.example/ops/saga"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// world is a shop with a real Kafka, registry and outbox of the order service.
type world struct {
	t        *testing.T
	src      Sources
	order    uuid.UUID
	brokers  []string
	codec    *schema.Codec
	pool     *pgxpool.Pool // of the order service
	services *opstest.Services
	payment  *opstest.Server
	gateway  []map[string]any // the ledger's entries of the order
	versions map[string]int64
}

func newWorld(t *testing.T, placed time.Time) *world {
	t.Helper()
	w := &world{t: t, services: opstest.StartServices(t), payment: opstest.Start(t, "payment"), versions: map[string]int64{}}
	w.order = earliest(placed)
	w.order[15] = 1
	topics := append(events.Topics(), event.RetryTopic(events.TopicOrderEvents, "payment"))
	w.brokers = kafkatest.Start(t, topics...)
	registry := schematest.Start(t)
	w.codec = registry.Codec(events.Catalogue())
	dsn := pgtest.NewURL(t, outbox.Component(), eventstore.Component(), httpapi.IdempotencyComponent())
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w.pool = pool
	gateway := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/ledger" || r.URL.Query().Get("orderId") != w.order.String() {
			http.NotFound(rw, r)
			return
		}
		json.NewEncoder(rw).Encode(map[string]any{"entries": w.gateway})
	}))
	t.Cleanup(gateway.Close)
	u := w.services.URL
	dsns := map[string]string{"order": dsn}
	fleet := operators.NewFleet(map[string]string{"payment": w.payment.URL}, "ada")
	w.src = Sources{
		URL: map[string]string{"order": u, "payment": u, "inventory": u, "shipping": u, "notification": u, "gateway": gateway.URL, "registry": registry.URL},
		DSN: dsns, Kafka: kafka.Cluster{Brokers: w.brokers}, Topics: topics, Fleet: fleet,
		Sagas: saga.New(saga.Endpoints{Order: u, Payment: u, Inventory: u, Databases: dsns}, fleet, nil),
	}
	return w
}

// send publishes an event at a time and returns its id.
func (w *world) send(e event.Event, at time.Time, cause uuid.UUID) uuid.UUID {
	w.t.Helper()
	var own uuid.UUID
	producer := e.EventType()[:1]
	w.versions[producer]++
	r := kafkatest.Record(w.t, w.codec, e, func(env *event.Envelope) {
		own, env.Source = env.ID, "/eventshop/order"
		env.CausationID = cause.String()
		if cause == uuid.Nil {
			env.CausationID = env.ID.String()
		}
		env.Time, env.AggregateVersion = at, w.versions[producer]
	})
	r.Timestamp = at
	kafkatest.Produce(w.t, w.brokers, r)
	return own
}

func (w *world) created(at time.Time) events.OrderCreated {
	return events.OrderCreated{OrderID: w.order.String(), Currency: "GBP", TotalAmount: 2999, ConfirmBy: at, OccurredAt: at}
}

func (w *world) paid(at time.Time) events.PaymentCompleted {
	return events.PaymentCompleted{OrderID: w.order.String(), PaymentID: "p", Amount: 2999, Currency: "GBP", OccurredAt: at}
}

// unpublished puts an event into the outbox of the order service.
func (w *world) unpublished(typ, topic string, e event.Event) {
	w.t.Helper()
	own := uuid.Must(uuid.NewV7())
	value, err := w.codec.Encode(w.t.Context(), e)
	if err == nil {
		_, err = w.pool.Exec(w.t.Context(), `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload, ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_causationid)
			VALUES ($1, 0, 'Order', $2, $3, $4, $5, $6, '1.0', '/eventshop/order', '2026-01-01T00:00:00Z', 9, $7)`,
			own, w.order.String(), typ, topic, []byte(w.order.String()), value, own.String())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tell() Story {
	w.t.Helper()
	reader := New(w.src, w.order)
	defer reader.Close()
	s, err := reader.Read(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) status(status string, placed time.Time) {
	w.services.Orders[w.order.String()] = map[string]any{
		"orderId": w.order, "status": status, "version": 2, "totalAmount": 29.99, "currency": "GBP", "placedAt": placed, "confirmBy": placed.Add(time.Hour),
	}
}

func TestTell(t *testing.T) {
	t.Parallel()
	placed := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	w := newWorld(t, placed)
	w.status("PENDING", placed)
	key := "charge-" + w.order.String()
	w.gateway = []map[string]any{
		{"seq": 1, "kind": "capture", "key": key, "amountMinor": 2999, "currency": "GBP"},
		{"seq": 2, "kind": "refund", "key": "refund-1", "chargeKey": key, "amountMinor": 100, "currency": "GBP"},
	}
	w.services.Payments[w.order.String()] = map[string]any{"status": "COMPLETED", "amount": json.Number("29.99"), "currency": "GBP"}
	w.services.Reservations[w.order.String()] = map[string]any{"status": "RESERVED", "items": []map[string]any{{"sku": "A", "quantity": 2}}}
	created := w.send(w.created(placed), placed, uuid.Nil)
	w.send(w.paid(placed.Add(20*time.Millisecond)), placed.Add(20*time.Millisecond), created)
	other := *w
	other.order = uuid.Must(uuid.NewV7())
	other.send(other.created(placed), placed, uuid.Nil)
	w.unpublished("OrderCancellationRequested", events.TopicOrderEvents, events.OrderCancellationRequested{OrderID: w.order.String(), Reason: "customer", OccurredAt: placed.Add(time.Minute)})
	letter := w.payment.Add(1, w.order.String())
	letter.Status = operators.Resolved
	w.payment.Add(2, other.order.String())

	s := w.tell()
	same(t, shapes(s.Events), "1 OrderCreated ← request", "2 PaymentCompleted ← 1 20ms", "3 OrderCancellationRequested ← request unpublished")
	if got := waits(s.WaitsFor); got != "order publish OrderCancellationRequested" || s.Ended || len(s.Missing) > 0 {
		t.Errorf("waits for %q, missing %q", got, s.Missing)
	}
	if g := s.Money.Gateway; g == nil || g.Amount != "29.99" || g.Refunded != "1.00" || g.Status != "captured" {
		t.Errorf("%+v", g)
	}
	if s.Money.Payment == nil || s.Money.Payment.Status != "COMPLETED" || s.Stock == nil || s.Stock.Status != "RESERVED" || s.Stock.Items[0] != (Item{"A", 2}) || s.Parcel != nil {
		t.Errorf("%+v %+v %+v", s.Money, s.Stock, s.Parcel)
	}
	if len(s.DeadLetters) != 1 || s.DeadLetters[0].ID != opstest.ID(1) {
		t.Errorf("%+v", s.DeadLetters)
	}
	b, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(b), `"data":{"confirmBy":`) {
		t.Errorf("%s %v", b, err)
	}
}

// TestTellAgain: the second call continues the reading and has the new events.
func TestTellAgain(t *testing.T) {
	t.Parallel()
	placed := time.Now().UTC().Truncate(time.Microsecond)
	w := newWorld(t, placed)
	w.status("PENDING", placed)
	reader := New(w.src, w.order)
	defer reader.Close()
	var counts []int
	for n := range 3 {
		if n == 1 {
			w.send(w.created(placed), placed, uuid.Nil)
		}
		s, err := reader.Read(t.Context())
		if err != nil || len(s.Missing) > 0 {
			t.Fatal(err, s.Missing)
		}
		counts = append(counts, len(s.Events))
	}
	if !slices.Equal(counts, []int{0, 1, 1}) {
		t.Errorf("%v events", counts)
	}
}

// TestTheEventsOfWhatAServiceSays: the order ends during the reading. If the order service reports
// the end, the story has the event, published or not.
func TestTheEventsOfWhatAServiceSays(t *testing.T) {
	t.Parallel()
	placed := time.Now().UTC().Truncate(time.Microsecond)
	w := newWorld(t, placed)
	created := w.send(w.created(placed), placed, uuid.Nil)
	orders := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		w.unpublished("OrderDelivered", events.TopicOrderEvents, events.OrderDelivered{OrderID: w.order.String(), OccurredAt: placed})
		w.send(events.OrderShipped{OrderID: w.order.String(), OccurredAt: placed}, placed, created)
		json.NewEncoder(rw).Encode(map[string]any{"orderId": w.order, "status": "DELIVERED", "version": 3, "totalAmount": 29.99, "currency": "GBP"})
	}))
	defer orders.Close()
	w.src.URL["order"] = orders.URL
	s := w.tell()
	same(t, shapes(s.Events), "1 OrderCreated ← request", "2 OrderShipped ← 1 0ms", "3 OrderDelivered ← request unpublished")
	if !s.Ended {
		t.Error("the order has ended")
	}
}

// TestAClockFarBehind: records older than the margin are found by the gap that they leave.
func TestAClockFarBehind(t *testing.T) {
	t.Parallel()
	placed := time.Now().UTC().Truncate(time.Microsecond)
	for name, ago := range map[string][2]time.Duration{
		"the order's own": {3 * time.Hour, 0}, "the cause": {0, 3 * time.Hour}, // the latter is payment's, which a shipping event names
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, placed)
			w.status("PENDING", placed)
			created := w.send(w.created(placed), placed.Add(-ago[0]), uuid.Nil)
			payment := w.send(w.paid(placed), placed.Add(-ago[1]), created)
			w.send(events.InventoryReserved{OrderID: w.order.String(), OccurredAt: placed}, placed, payment)
			if s := w.tell(); len(s.Events) != 3 || s.Events[2].Cause.Kind != ByEvent {
				t.Errorf("%q", shapes(s.Events))
			}
		})
	}
}

// TestWhoIsAwayIsNamed: the story has the rest.
func TestWhoIsAwayIsNamed(t *testing.T) {
	t.Parallel()
	placed := time.Now().UTC().Truncate(time.Microsecond)
	w := newWorld(t, placed)
	w.status("PENDING", placed)
	w.send(w.created(placed), placed, uuid.Nil)
	w.unpublished("OrderPlaced", events.TopicOrderNotifications, events.OrderPlaced{OrderID: w.order.String(), OccurredAt: placed})
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	whole := w.src

	for name, c := range map[string]struct {
		without func(*Sources)
		missing string
		events  int
	}{
		"shipping": {func(s *Sources) { s.URL["shipping"] = gone.URL }, "shipping cannot be asked", 2},
		"gateway":  {func(s *Sources) { s.URL["gateway"] = gone.URL }, "gateway cannot be asked", 2},
		"order":    {func(s *Sources) { s.URL["order"] = gone.URL }, "order cannot be asked", 2},
		"registry": {func(s *Sources) { s.URL["registry"] = gone.URL }, "registry cannot be asked", 2},
		"outbox":   {func(s *Sources) { s.DSN = map[string]string{"order": "postgres://nobody@127.0.0.1:1/x"} }, "order's outbox cannot be read", 1},
		"Kafka":    {func(s *Sources) { s.Kafka.Brokers = []string{strings.TrimPrefix(gone.URL, "http://")} }, "the topics cannot be read", 1},
		"topic":    {func(s *Sources) { s.Topics = append(slices.Clone(s.Topics), event.Topic{Name: "none"}) }, "topic none does not exist", 2},
	} {
		w.src = whole
		w.src.URL = map[string]string{}
		for service, u := range whole.URL {
			w.src.URL[service] = u
		}
		c.without(&w.src)
		s := w.tell()
		if len(s.Missing) != 1 || !strings.Contains(s.Missing[0], c.missing) || len(s.Events) != c.events {
			t.Errorf("%s: missing %q, %q", name, s.Missing, shapes(s.Events))
		}
	}
}

// TestAStrangersDelivery: a record with the order's key, a header OrderDelivered and an undecodable
// value neither ends the order nor hides what it waits for.
func TestAStrangersDelivery(t *testing.T) {
	t.Parallel()
	placed := time.Now().UTC().Truncate(time.Microsecond)
	w := newWorld(t, placed)
	w.status("PENDING", placed)
	created := w.send(w.created(placed), placed, uuid.Nil)
	r := kafkatest.Record(t, w.codec, events.OrderDelivered{OrderID: w.order.String(), OccurredAt: placed}, func(env *event.Envelope) {
		env.CausationID, env.AggregateVersion = created.String(), 9
	})
	r.Value = []byte("garbage")
	kafkatest.Produce(t, w.brokers, r)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, url := range []string{w.src.URL["order"], gone.URL} {
		w.src.URL["order"] = url
		s := w.tell()
		if got := waits(s.WaitsFor); got != "payment answer OrderCreated" || s.Ended || len(s.Events) != 2 || s.Events[1].Problem == "" {
			t.Errorf("waits for %q, ended %v, %q", got, s.Ended, shapes(s.Events))
		}
	}
}

// TestOutboxesKnowTheirEvents, also while the registry is away: an event on a topic and in an
// outbox is the service's own, so the story knows what the order waits for.
func TestOutboxesKnowTheirEvents(t *testing.T) {
	t.Parallel()
	placed := time.Now().UTC().Truncate(time.Microsecond)
	w := newWorld(t, placed)
	w.status("PENDING", placed)
	w.unpublished("OrderCreated", events.TopicOrderEvents, w.created(placed))
	var own uuid.UUID
	var value []byte
	if err := w.pool.QueryRow(t.Context(), `UPDATE outbox SET published_at = now() RETURNING id, payload`).Scan(&own, &value); err != nil {
		t.Fatal(err)
	}
	r := kafkatest.Record(t, w.codec, w.created(placed), func(env *event.Envelope) { env.ID, env.CausationID = own, own.String() })
	r.Value = value
	kafkatest.Produce(t, w.brokers, r)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	w.src.URL["registry"] = gone.URL
	if s := w.tell(); waits(s.WaitsFor) != "payment answer OrderCreated" || len(s.Missing) != 1 {
		t.Errorf("waits for %q, missing %q, %q", waits(s.WaitsFor), s.Missing, shapes(s.Events))
	}
	if _, err := w.pool.Exec(t.Context(), `DELETE FROM outbox`); err != nil {
		t.Fatal(err)
	}
	if s := w.tell(); len(s.WaitsFor) != 0 || len(s.Missing) != 1 {
		t.Errorf("in doubt: waits for %q, missing %q", waits(s.WaitsFor), s.Missing)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	placed := time.Now().UTC()
	w := newWorld(t, placed)
	find := func(text string) (string, error) {
		found, err := Find(t.Context(), w.src.DSN["order"], text)
		return found.String(), err
	}
	near := w.order
	near[15] = 2
	far := earliest(placed.AddDate(-1, 0, 0))
	for _, order := range []uuid.UUID{w.order, near, far} {
		if _, err := w.pool.Exec(t.Context(), `INSERT INTO events (stream_id, version, event_type, data) VALUES ($1, 1, 'OrderCreated', '{}')`, order.String()); err != nil {
			t.Fatal(err)
		}
	}
	const uuidKey, nilKey = "0b8fd8a6-8f3c-4f0e-9c57-2f8f4c1d7a11", "0B8FD8A6-8F3C-4F0E-9C57-2F8F4C1D7A22"
	for _, key := range []string{"my-key", uuidKey, nilKey, w.order.String(), "0ab"} { // one is another order's id
		if _, err := w.pool.Exec(t.Context(), `INSERT INTO idempotency_keys (caller, scope, key, request_hash, status, headers, body)
			VALUES ('', 'POST /orders', $1, '', 201, '{}', convert_to('{"orderId":"`+near.String()+`"}', 'UTF8'))`, key); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]uuid.UUID{
		uuidKey: near, nilKey: near, "0ab": near,
		"0b8fd8a6-8f3c-4f0e-9c57-000000000000": uuid.MustParse("0b8fd8a6-8f3c-4f0e-9c57-000000000000"), // neither
	} {
		if got, err := find(text); err != nil || got != want.String() {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{w.order.String()[:7], strings.ToUpper(w.order.String()[:7]), "0"} {
		if _, err := find(text); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "8 characters at least") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got, err := Find(t.Context(), "postgres://nobody@127.0.0.1:1/x", uuidKey); err != nil || got.String() != uuidKey {
		t.Errorf("an id while the database is away: %s, %v", got, err)
	}
	for text, want := range map[string]uuid.UUID{
		w.order.String(): w.order, strings.ToUpper(w.order.String()): w.order, "my-key": near, far.String()[:9]: far,
	} {
		if got, err := find(text); err != nil || got != want.String() {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	if _, err := find(w.order.String()[:20]); err == nil || !strings.Contains(err.Error(), w.order.String()) || !strings.Contains(err.Error(), near.String()) {
		t.Errorf("of two: %v", err)
	}
	for _, text := range []string{"your-key", "019b", "ffffffff", "%", w.order.String()[:35] + "%"} {
		if _, err := find(text); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", text, err)
		}
	}
	w.order = uuid.Must(uuid.NewV7())
	reader := New(w.src, w.order)
	defer reader.Close()
	if _, err := reader.Read(t.Context()); !errors.Is(err, ErrUnknown) {
		t.Errorf("an order that is not there: %v", err)
	}
}

// TestHomes: a topic that grew has moved its keys.
func TestHomes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 6} {
		if got := homes("t", theOrder, n); len(got) != 1 || int(got[0]) >= n {
			t.Errorf("%d partitions: %v", n, got)
		}
	}
	then, now := homes("t", theOrder, 6), homes("t", theOrder, 12)
	if !slices.Contains(now, then[0]) {
		t.Errorf("%v, without the %d of before", now, then[0])
	}
	brokers := kafkatest.Start(t, event.Topic{Name: "grown", Partitions: 12})
	for p := range int32(12) {
		kafkatest.Produce(t, brokers, &kgo.Record{Topic: "grown", Partition: p, Key: []byte(theOrder)})
	}
	r := topicReader{cluster: kafka.Cluster{Brokers: brokers}, topics: []string{"grown"}, key: theOrder}
	defer r.close()
	if err := r.open(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got, err := r.read(t.Context()); err != nil || len(got) == 0 {
		t.Errorf("%d records, %v", len(got), err)
	}
}

// TestOnlyWhatIsNotOlderIsRead: the length of a topic's past does not matter.
func TestOnlyWhatIsNotOlderIsRead(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, event.Topic{Name: "long", Partitions: 1})
	now := time.Now()
	for _, ago := range []time.Duration{3 * time.Hour, 2 * time.Hour, time.Hour, 0} {
		kafkatest.Produce(t, brokers, &kgo.Record{Topic: "long", Key: []byte(theOrder), Timestamp: now.Add(-ago)})
	}
	r := topicReader{cluster: kafka.Cluster{Brokers: brokers}, topics: []string{"long"}, key: theOrder}
	defer r.close()
	for from, want := range map[time.Time]int64{now.Add(-90 * time.Minute): 2, now.Add(time.Hour): 4, {}: 0} {
		if err := r.open(t.Context(), from); err != nil {
			t.Fatal(err)
		}
		if got := r.at["long"][0]; got != want {
			t.Errorf("from %s: offset %d, want %d", from, got, want)
		}
		if got, err := r.read(t.Context()); err != nil || int64(len(got)) != 4-want {
			t.Errorf("from %s: %d records, %v", from, len(got), err)
		}
	}
}

// TestEachServicesOwnRegistry: two registries use the same ids for different schemas.
func TestEachServicesOwnRegistry(t *testing.T) {
	t.Parallel()
	placed := time.Now().UTC().Truncate(time.Microsecond)
	w := newWorld(t, placed)
	w.status("PENDING", placed)
	created := w.send(w.created(placed), placed, uuid.Nil) // id 1 of the common registry
	own := schematest.Start(t)
	w.codec = own.Codec(events.Catalogue())
	r := kafkatest.Record(t, w.codec, w.paid(placed.Add(time.Second)), func(env *event.Envelope) { // id 1 of payment's
		env.Source, env.CausationID, env.Time = "/eventshop/payment", created.String(), placed
	})
	kafkatest.Produce(t, w.brokers, r)
	if s := w.tell(); len(s.Events) != 2 || s.Events[1].DataError == "" && s.Events[1].Problem == "" {
		t.Errorf("payment's event by another registry: %+v", s.Events)
	}
	w.src.Registries = map[string]*schema.Client{"payment": schema.NewClient(own.URL)}
	s := w.tell()
	same(t, shapes(s.Events), "1 OrderCreated ← request", "2 PaymentCompleted ← 1 1000ms")
	if s.Events[1].field("paymentId") != "p" || len(s.Missing) > 0 {
		t.Errorf("%s %q", s.Events[1].Data, s.Missing)
	}
}
