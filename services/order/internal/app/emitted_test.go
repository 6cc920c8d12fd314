package app_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// eventsFixture is a fixture whose events can be decoded.
type eventsFixture struct {
	*fixture
	codec *schema.Codec
}

func newEventsFixture(t testing.TB) eventsFixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	f.pool = pgtest.NewDB(t, eventstore.Component(), outbox.Component(),
		postgres.Component{Name: "order", FS: os.DirFS("../../migrations")})
	codec := schematest.Start(t).Codec(events.Catalogue())
	f.app = app.New(app.Config{
		Pool: f.pool, Outbox: outbox.New(outbox.Config{Source: "/eventshop/order", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode}), Log: slog.New(slog.DiscardHandler),
		Now: f.time, SagaDeadline: 5 * time.Minute, SnapshotEvery: 4,
	})
	return eventsFixture{f, codec}
}

// emitted returns the decoded events of an order from the outbox, in the order of publication: the
// facts, and separately the snapshots.
func (f eventsFixture) emitted(id string) (facts, snapshots []event.Event) {
	f.t.Helper()
	rows, err := f.pool.Query(context.Background(), `SELECT event_type, payload FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, id)
	if err != nil {
		f.t.Fatal(err)
	}
	type stored struct {
		Name    string
		Payload []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range all {
		typ, ok := events.Catalogue().Lookup(r.Name)
		if !ok {
			f.t.Fatalf("unknown type %s", r.Name)
		}
		e, err := f.codec.Decode(context.Background(), typ, r.Payload)
		if err != nil {
			f.t.Fatal(err)
		}
		if typ.Topic == events.TopicOrderSnapshots {
			snapshots = append(snapshots, e)
		} else {
			facts = append(facts, e)
		}
	}
	return facts, snapshots
}

// expectEmitted compares the facts after OrderCreated and OrderPlaced, which every order has.
func (f eventsFixture) expectEmitted(id string, want ...event.Event) {
	f.t.Helper()
	facts, _ := f.emitted(id)
	if diff := cmp.Diff(append([]event.Event{}, want...), facts[2:]); diff != "" {
		f.t.Errorf("emitted (-want +got):\n%s", diff)
	}
}

// TestOrderCreatedCarriesTheWholeOrder: participants need no other source of the order.
func TestOrderCreatedCarriesTheWholeOrder(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	p := cart()
	p.ShippingAddress.Country = "GB"
	p.ConfirmWithin = 90 * time.Second
	o := f.place(p)
	facts, _ := f.emitted(o.ID)
	want := []event.Event{
		&events.OrderCreated{
			OrderID:         o.ID,
			Customer:        events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
			ShippingAddress: events.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
			Items:           []events.OrderItem{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}, {SKU: "GADGET-05", Quantity: 1, UnitPrice: 4001}},
			TotalAmount:     9999, Currency: "GBP", SagaStyle: "choreographed", ConfirmBy: f.time().Add(90 * time.Second), OccurredAt: f.time(),
		},
		&events.OrderPlaced{OrderID: o.ID, OccurredAt: f.time()},
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("emitted (-want +got):\n%s", diff)
	}
}

// TestTheTrackingIDIsEmitted: the confirmation and the dispatch carry it, whichever of shipping's
// events brought it.
func TestTheTrackingIDIsEmitted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scheduled, dispatched string // tracking ids; "-": the event does not arrive
		confirmed, shipped    string
	}{
		"scheduled, dispatched":                   {"T1", "T1", "T1", "T1"},
		"the dispatch does not repeat it":         {"T1", "", "T1", "T1"},
		"the dispatch has another":                {"T1", "T2", "T1", "T2"},
		"the schedule had none":                   {"", "T2", "", "T2"},
		"the schedule is lost":                    {"-", "T2", "T2", "T2"},
		"delivered, the dispatch is lost":         {"T1", "-", "T1", "T1"},
		"delivered, schedule and dispatch lost":   {"-", "-", "", ""},
		"dispatched first, the schedule is later": {"-", "T1", "T1", "T1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newEventsFixture(t)
			id := f.place(cart()).ID
			at := f.time()
			if c.scheduled != "-" {
				mustReceive(f.fixture, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: c.scheduled})
			}
			if c.dispatched != "-" {
				mustReceive(f.fixture, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: c.dispatched})
			}
			mustReceive(f.fixture, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: at})
			mustReceive(f.fixture, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "late"})
			mustReceive(f.fixture, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "late"})
			f.expectEmitted(id,
				&events.OrderConfirmed{OrderID: id, TrackingID: c.confirmed, OccurredAt: at},
				&events.OrderShipped{OrderID: id, TrackingID: c.shipped, OccurredAt: at},
				&events.OrderDelivered{OrderID: id, OccurredAt: at})
			if o := f.get(id); o.TrackingID != c.shipped || o.State != order.Delivered {
				t.Errorf("%s with tracking id %q, want %q", o.State, o.TrackingID, c.shipped)
			}
		})
	}
}

// TestWhatTheSnapshotsHold: every fourth domain event has a snapshot, with the resulting status, and so
// have the end and every change after it.
func TestWhatTheSnapshotsHold(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := f.place(cart()).ID
	mustReceive(f.fixture, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	if _, err := f.cancel(id, ""); err != nil {
		t.Fatal(err)
	}
	mustReceive(f.fixture, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"})
	mustReceive(f.fixture, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "T1"}) // needs a person
	snapshot := func(version int64, status string) event.Event {
		return &events.OrderSnapshot{
			OrderID: id, Version: version, Status: status, CustomerID: "cust-7", TotalAmount: 9999, Currency: "GBP", OccurredAt: f.time(),
		}
	}
	_, got := f.emitted(id)
	want := []event.Event{snapshot(4, "CONFIRMED"), snapshot(6, "CANCELLED"), snapshot(7, "CANCELLED")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("snapshots (-want +got):\n%s", diff)
	}
}

// TestWhyAnOrderEnds: the request and the end are emitted with the reason and the detail.
func TestWhyAnOrderEnds(t *testing.T) {
	t.Parallel()
	requested := func(id, reason, detail string, at time.Time) event.Event {
		return &events.OrderCancellationRequested{OrderID: id, Reason: reason, Detail: detail, OccurredAt: at}
	}
	ended := func(id, reason, detail string, at time.Time) event.Event {
		return &events.OrderCancelled{OrderID: id, Reason: reason, Detail: detail, OccurredAt: at}
	}
	for name, c := range map[string]struct {
		road func(f eventsFixture, id string)
		want func(id string, at time.Time) []event.Event
	}{
		"the customer": {func(f eventsFixture, id string) {
			if _, err := f.cancel(id, "changed my mind"); err != nil {
				f.t.Fatal(err)
			}
			mustReceive(f.fixture, app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
		}, func(id string, at time.Time) []event.Event {
			return []event.Event{requested(id, "customer", "changed my mind", at), ended(id, "customer", "changed my mind", at)}
		}},
		"the deadline": {func(f eventsFixture, id string) {
			f.advance(5 * time.Minute)
			if n, err := f.app.PassDeadlines(context.Background()); n != 1 || err != nil {
				f.t.Fatalf("%d due, %v", n, err)
			}
			mustReceive(f.fixture, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "deadline"})
		}, func(id string, at time.Time) []event.Event {
			at = at.Add(5 * time.Minute)
			return []event.Event{requested(id, "deadline", "not confirmed in time", at), ended(id, "deadline", "not confirmed in time", at)}
		}},
		"the card": {func(f eventsFixture, id string) {
			mustReceive(f.fixture, app.OnPaymentFailed, events.PaymentFailed{OrderID: id, Reason: "insufficient_funds", Detail: "try another card"})
		}, func(id string, at time.Time) []event.Event {
			return []event.Event{ended(id, "payment_failed", "insufficient_funds: try another card", at)}
		}},
		"the shelf": {func(f eventsFixture, id string) {
			mustReceive(f.fixture, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock",
				Shortages: []events.Shortage{{SKU: "WIDGET-01", Requested: 2, Available: 1}, {SKU: "GADGET-05", Requested: 1}}})
			mustReceive(f.fixture, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "out_of_stock"})
		}, func(id string, at time.Time) []event.Event {
			return []event.Event{ended(id, "out_of_stock", "out_of_stock: WIDGET-01: 2 wanted, 1 there; GADGET-05: 1 wanted, 0 there", at)}
		}},
		"the carrier": {func(f eventsFixture, id string) {
			mustReceive(f.fixture, app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served", Detail: "not there"})
			mustReceive(f.fixture, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "shipment_failed"})
		}, func(id string, at time.Time) []event.Event {
			return []event.Event{ended(id, "shipment_failed", "address_not_served: not there", at)}
		}},
		"the money, before its reason arrived": {func(f eventsFixture, id string) {
			mustReceive(f.fixture, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "shipment_failed"})
			mustReceive(f.fixture, app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
		}, func(id string, at time.Time) []event.Event {
			return []event.Event{ended(id, "shipment_failed", "", at)}
		}},
		"a void by hand": {func(f eventsFixture, id string) {
			mustReceive(f.fixture, app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "operator"})
		}, func(id string, at time.Time) []event.Event {
			return []event.Event{ended(id, "money_returned", "operator", at)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newEventsFixture(t)
			at := f.time()
			id := f.place(cart()).ID
			c.road(f, id)
			f.expectEmitted(id, c.want(id, at)...)
		})
	}
}

// TestTheDeliveryKeepsItsTime: the order's stream has the carrier's time.
func TestTheDeliveryKeepsItsTime(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := f.place(cart()).ID
	at := f.time().Add(-time.Hour)
	mustReceive(f.fixture, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: at})
	history, err := f.app.GetOrderEvents(context.Background(), id, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	last, ok := history.Events[len(history.Events)-1].Event.(order.OrderDelivered)
	if !ok || !last.DeliveredAt.Equal(at) {
		t.Errorf("recorded %+v, want delivered at %s", history.Events[len(history.Events)-1].Event, at)
	}
}

// TestARefundThatFailedIsShown: the order shows the reason that payment emits.
func TestARefundThatFailedIsShown(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := f.place(cart()).ID
	mustReceive(f.fixture, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "gateway down", Attempts: 9})
	want := &order.Cause{Reason: "PaymentRefundFailed", Detail: "gateway down"}
	if diff := cmp.Diff(want, f.get(id).Attention); diff != "" {
		t.Errorf("attention (-want +got):\n%s", diff)
	}
	f.expectEmitted(id) // payment has emitted it
}

// TestOneOrderTwoDeadlineWorkers: while one replica passes an order's deadline, the other one
// continues with the next order.
func TestOneOrderTwoDeadlineWorkers(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	first, second := f.place(cart()).ID, f.place(cart()).ID
	f.advance(5 * time.Minute)
	err := f.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SELECT FROM saga_deadlines WHERE order_id = $1 FOR UPDATE`, first); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := f.app.PassDeadlines(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := f.get(first).State, f.get(second).State; a != order.Pending || b != order.Cancelling {
		t.Errorf("%s and %s", a, b)
	}
	if n, err := f.app.PassDeadlines(context.Background()); n != 1 || err != nil {
		t.Errorf("%d due, %v", n, err)
	}
	f.expectEmitted(second, &events.OrderCancellationRequested{
		OrderID: second, Reason: "deadline", Detail: "not confirmed in time", OccurredAt: f.time()})
}

// TestDeadlinesPassTogether: those that are due are one set. An order that fails does not delay the
// others.
func TestDeadlinesPassTogether(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	var ids []string
	for range 5 {
		ids = append(ids, f.place(cart()).ID)
	}
	f.advance(5 * time.Minute)
	if n, err := f.app.PassDeadlines(context.Background()); n != 5 || err != nil {
		t.Fatalf("%d due, %v", n, err)
	}
	if n := f.count(`SELECT count(DISTINCT xmin::text) FROM events WHERE event_type = 'OrderCancellationRequested'`); n != 1 {
		t.Errorf("%d transactions, want 1", n)
	}
	good, bad := f.place(cart()).ID, f.place(cart()).ID
	f.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END $$`)
	f.exec(`CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW WHEN (new.stream_id = '` + bad + `') EXECUTE FUNCTION refuse()`)
	f.advance(5 * time.Minute)
	if n, err := f.app.PassDeadlines(context.Background()); n != 2 || err == nil {
		t.Errorf("%d due, %v; want two, and the failure of one", n, err)
	}
	for _, id := range append(ids, good) {
		if o := f.get(id); o.State != order.Cancelling {
			t.Errorf("%s is %s", id, o.State)
		}
	}
}

// TestTheDeadlineRowIsTakenFirst: a writer that ends the wait for the confirmation takes the
// deadline row before it appends. The deadline worker of an earlier release does the same, without
// locking the stream, so no two writers wait for each other.
func TestTheDeadlineRowIsTakenFirst(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := f.place(cart()).ID
	lost := make(chan error, 1)
	err := f.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SELECT FROM saga_deadlines WHERE order_id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		go func() {
			lost <- receive(f.fixture, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
		}()
		f.awaitBlocked()
		// If the other writer had appended already, both would wait for each other.
		_, err := eventstore.Append(context.Background(), tx, id, 3,
			[]eventstore.NewRecord{{Type: "OrderCancellationRequested", Data: []byte(`{"reason":"deadline"}`)}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-lost; errs.KindOf(err) != errs.Transient {
		t.Errorf("the second writer: %v", err)
	}
	if o := f.get(id); o.State != order.Cancelling {
		t.Errorf("%s", o.State)
	}
}

// TestADeadlineThatMetTheConsumerIsNoError: the order was changed meanwhile, or is due again at the
// next poll.
func TestADeadlineThatMetTheConsumerIsNoError(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := f.place(cart()).ID
	f.advance(5 * time.Minute)
	passed := make(chan error, 1)
	err := f.tx(func(tx pgx.Tx) error {
		// Another writer of the stream that locks no deadline row, as in a previous release.
		_, err := eventstore.Append(context.Background(), tx, id, 3,
			[]eventstore.NewRecord{{Type: "OrderFulfilmentFailed", Data: []byte(`{"reason":"out_of_stock"}`), Metadata: []byte(`{}`)}})
		if err != nil {
			return err
		}
		go func() {
			_, err := f.app.PassDeadlines(context.Background())
			passed <- err
		}()
		f.awaitBlocked()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-passed; err != nil {
		t.Errorf("the worker that lost: %v", err)
	}
	if n, err := f.app.PassDeadlines(context.Background()); n != 1 || err != nil {
		t.Errorf("%d due, %v", n, err)
	}
	if o := f.get(id); o.State != order.Cancelling {
		t.Errorf("%s", o.State)
	}
}

// TestACancellationThatAlwaysLosesIsNoAnswer about the order: the client gets a 503 and can try
// again. It does not get a 409, which means that the order cannot be cancelled.
func TestACancellationThatAlwaysLosesIsNoAnswer(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := f.place(cart()).ID
	f.exec(`CREATE FUNCTION faster() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'another writer was faster' USING ERRCODE = 'unique_violation'; END $$`)
	f.exec(`CREATE TRIGGER faster BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION faster()`)
	if _, err := f.cancel(id, ""); errs.KindOf(err) != errs.Transient {
		t.Errorf("lost every race: %v (%s)", err, errs.KindOf(err))
	}
	f.exec(`DROP TRIGGER faster ON events`)
	if o, err := f.cancel(id, ""); err != nil || o.State != order.Cancelling {
		t.Errorf("%s, %v", o.State, err)
	}
}

// TestSequenceNumbersFollowVersions: of two writers of one order, the second waits before it has
// inserted an outbox row. So sequence numbers follow the versions, and none is drawn for nothing.
func TestSequenceNumbersFollowVersions(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := f.place(cart()).ID
	mustReceive(f.fixture, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"}) // no deadline row any more
	second := make(chan error, 1)
	err := f.tx(func(tx pgx.Tx) error {
		e := delivered(events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
		if _, err := react(f.fixture, tx, app.OnShipmentDispatched, e); err != nil {
			return err
		}
		go func() {
			second <- receive(f.fixture, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"})
		}()
		f.awaitBlocked()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Fatalf("the second writer: %v", err)
	}
	mustReceive(f.fixture, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: f.time()})
	if n := f.count(`SELECT max(seq) - min(seq) + 1 - count(*) FROM outbox`); n != 0 {
		t.Errorf("%d sequence numbers were drawn for nothing", n)
	}
	inVersionOrder(f.fixture, id)
}
