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
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/internal/order"
)

// teller is a kit whose events can be read.
type teller struct {
	*kit
	codec *schema.Codec
}

func newTeller(t testing.TB) teller {
	t.Helper()
	k := &kit{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	k.pool = pgtest.NewDB(t, eventstore.Component(), outbox.Component(),
		postgres.Component{Name: "order", FS: os.DirFS("../../migrations")})
	codec := schematest.Start(t).Codec()
	k.app = app.New(app.Config{
		Pool: k.pool, Outbox: outbox.New(codec, "/eventshop/order"), Log: slog.New(slog.DiscardHandler),
		Now: k.time, SagaDeadline: 5 * time.Minute, SnapshotEvery: 4,
	})
	return teller{k, codec}
}

// told returns what the outbox holds for an order, decoded, in the order of publication:
// the facts, and the snapshots apart.
func (k teller) told(id string) (facts, snapshots []events.Event) {
	k.t.Helper()
	rows, err := k.pool.Query(context.Background(), `SELECT event_type, payload FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, id)
	if err != nil {
		k.t.Fatal(err)
	}
	type stored struct {
		Name    string
		Payload []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		k.t.Fatal(err)
	}
	for _, r := range all {
		typ, ok := events.Lookup(r.Name)
		if !ok {
			k.t.Fatalf("unknown type %s", r.Name)
		}
		e, err := k.codec.Decode(context.Background(), typ, r.Payload)
		if err != nil {
			k.t.Fatal(err)
		}
		if typ.Topic == events.TopicOrderSnapshots {
			snapshots = append(snapshots, e)
		} else {
			facts = append(facts, e)
		}
	}
	return facts, snapshots
}

// expectTold compares the facts after OrderCreated and OrderPlaced, which every order has.
func (k teller) expectTold(id string, want ...events.Event) {
	k.t.Helper()
	facts, _ := k.told(id)
	if diff := cmp.Diff(append([]events.Event{}, want...), facts[2:]); diff != "" {
		k.t.Errorf("told (-want +got):\n%s", diff)
	}
}

// TestOrderCreatedCarriesTheWholeOrder: participants work from it alone.
func TestOrderCreatedCarriesTheWholeOrder(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	p := cart()
	p.ShippingAddress.Country = "GB"
	p.ConfirmWithin = 90 * time.Second
	o := k.place(p)
	facts, snapshots := k.told(o.ID)
	want := []events.Event{
		&events.OrderCreated{
			OrderID:         o.ID,
			Customer:        events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
			ShippingAddress: events.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
			Items:           []events.OrderItem{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}, {SKU: "GADGET-05", Quantity: 1, UnitPrice: 4001}},
			TotalAmount:     9999, Currency: "GBP", ConfirmBy: k.time().Add(90 * time.Second), OccurredAt: k.time(),
		},
		&events.OrderPlaced{OrderID: o.ID, OccurredAt: k.time()},
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	snapshot := []events.Event{&events.OrderSnapshot{
		OrderID: o.ID, Version: 3, Status: "PENDING", CustomerID: "cust-7", TotalAmount: 9999, Currency: "GBP", OccurredAt: k.time(),
	}}
	if diff := cmp.Diff(snapshot, snapshots); diff != "" {
		t.Errorf("snapshots (-want +got):\n%s", diff)
	}
}

// TestTheTrackingIDIsTold: with the confirmation and with the dispatch, whichever of
// shipping's events brought it.
func TestTheTrackingIDIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scheduled, dispatched string // tracking ids; "-": the event does not come
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
			k := newTeller(t)
			id := k.place(cart()).ID
			at := k.time()
			if c.scheduled != "-" {
				tell(k.kit, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: c.scheduled})
			}
			if c.dispatched != "-" {
				tell(k.kit, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: c.dispatched})
			}
			tell(k.kit, k.app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: at})
			tell(k.kit, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "late"})
			tell(k.kit, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "late"})
			k.expectTold(id,
				&events.OrderConfirmed{OrderID: id, TrackingID: c.confirmed, OccurredAt: at},
				&events.OrderShipped{OrderID: id, TrackingID: c.shipped, OccurredAt: at},
				&events.OrderDelivered{OrderID: id, OccurredAt: at})
			if o := k.get(id); o.TrackingID != c.shipped || o.Status != order.Delivered {
				t.Errorf("%s with tracking id %q, want %q", o.Status, o.TrackingID, c.shipped)
			}
		})
	}
}

// TestWhatTheSnapshotsSay: one for each change, with the status that it led to.
func TestWhatTheSnapshotsSay(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := k.place(cart()).ID
	tell(k.kit, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	if _, err := k.cancel(id, ""); err != nil {
		t.Fatal(err)
	}
	tell(k.kit, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"})
	_, snapshots := k.told(id)
	var got []string
	for i, e := range snapshots {
		s := e.(*events.OrderSnapshot)
		got = append(got, s.Status)
		if s.Version != int64(3+i) {
			t.Errorf("snapshot %d has version %d", i, s.Version)
		}
	}
	if diff := cmp.Diff([]string{"PENDING", "CONFIRMED", "CANCELLING", "CANCELLED"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestWhyAnOrderEnds: who asked, or what failed, is told with the request and with the end.
func TestWhyAnOrderEnds(t *testing.T) {
	t.Parallel()
	requested := func(id, reason, detail string, at time.Time) events.Event {
		return &events.OrderCancellationRequested{OrderID: id, Reason: reason, Detail: detail, OccurredAt: at}
	}
	ended := func(id, reason, detail string, at time.Time) events.Event {
		return &events.OrderCancelled{OrderID: id, Reason: reason, Detail: detail, OccurredAt: at}
	}
	for name, c := range map[string]struct {
		road func(k teller, id string)
		want func(id string, at time.Time) []events.Event
	}{
		"the customer": {func(k teller, id string) {
			if _, err := k.cancel(id, "changed my mind"); err != nil {
				k.t.Fatal(err)
			}
			tell(k.kit, k.app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
		}, func(id string, at time.Time) []events.Event {
			return []events.Event{requested(id, "customer", "changed my mind", at), ended(id, "customer", "changed my mind", at)}
		}},
		"the deadline": {func(k teller, id string) {
			k.advance(5 * time.Minute)
			if n, err := k.app.PassDeadlines(context.Background()); n != 1 || err != nil {
				k.t.Fatalf("%d due, %v", n, err)
			}
			tell(k.kit, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "deadline"})
		}, func(id string, at time.Time) []events.Event {
			at = at.Add(5 * time.Minute)
			return []events.Event{requested(id, "deadline", "not confirmed in time", at), ended(id, "deadline", "not confirmed in time", at)}
		}},
		"the card": {func(k teller, id string) {
			tell(k.kit, k.app.OnPaymentFailed, events.PaymentFailed{OrderID: id, Reason: "insufficient_funds", Detail: "try another card"})
		}, func(id string, at time.Time) []events.Event {
			return []events.Event{ended(id, "payment_failed", "insufficient_funds: try another card", at)}
		}},
		"the shelf": {func(k teller, id string) {
			tell(k.kit, k.app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock",
				Shortages: []events.Shortage{{SKU: "WIDGET-01", Requested: 2, Available: 1}, {SKU: "GADGET-05", Requested: 1}}})
			tell(k.kit, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "out_of_stock"})
		}, func(id string, at time.Time) []events.Event {
			return []events.Event{ended(id, "out_of_stock", "out_of_stock: WIDGET-01: 2 wanted, 1 there; GADGET-05: 1 wanted, 0 there", at)}
		}},
		"the carrier": {func(k teller, id string) {
			tell(k.kit, k.app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served", Detail: "not there"})
			tell(k.kit, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "shipment_failed"})
		}, func(id string, at time.Time) []events.Event {
			return []events.Event{ended(id, "shipment_failed", "address_not_served: not there", at)}
		}},
		"the money, before its reason was heard of": {func(k teller, id string) {
			tell(k.kit, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "shipment_failed"})
			tell(k.kit, k.app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
		}, func(id string, at time.Time) []events.Event {
			return []events.Event{ended(id, "shipment_failed", "", at)}
		}},
		"a void by hand": {func(k teller, id string) {
			tell(k.kit, k.app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "operator"})
		}, func(id string, at time.Time) []events.Event {
			return []events.Event{ended(id, "money_returned", "operator", at)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newTeller(t)
			at := k.time()
			id := k.place(cart()).ID
			c.road(k, id)
			k.expectTold(id, c.want(id, at)...)
		})
	}
}

// TestTheDeliveryKeepsItsTime: that of the carrier, in the order's own stream.
func TestTheDeliveryKeepsItsTime(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := k.place(cart()).ID
	at := k.time().Add(-time.Hour)
	tell(k.kit, k.app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: at})
	recorded, err := k.app.GetOrderEvents(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	last, ok := recorded[len(recorded)-1].Event.(order.WasDelivered)
	if !ok || !last.DeliveredAt.Equal(at) {
		t.Errorf("recorded %+v, want delivered at %s", recorded[len(recorded)-1].Event, at)
	}
}

// TestARefundThatFailedIsShown: with what payment says.
func TestARefundThatFailedIsShown(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := k.place(cart()).ID
	tell(k.kit, k.app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "gateway down", Attempts: 9})
	want := &order.Cause{Reason: "PaymentRefundFailed", Detail: "gateway down"}
	if diff := cmp.Diff(want, k.get(id).Attention); diff != "" {
		t.Errorf("attention (-want +got):\n%s", diff)
	}
	k.expectTold(id) // payment has told it
}

// TestOneOrderTwoDeadlineWorkers: while one replica passes an order's deadline the other
// goes on to the next one.
func TestOneOrderTwoDeadlineWorkers(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	first, second := k.place(cart()).ID, k.place(cart()).ID
	k.advance(5 * time.Minute)
	err := k.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SELECT FROM saga_deadlines WHERE order_id = $1 FOR UPDATE`, first); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := k.app.PassDeadlines(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := k.get(first).Status, k.get(second).Status; a != order.Pending || b != order.Cancelling {
		t.Errorf("%s and %s", a, b)
	}
	if n, err := k.app.PassDeadlines(context.Background()); n != 1 || err != nil {
		t.Errorf("%d due, %v", n, err)
	}
	k.expectTold(second, &events.OrderCancellationRequested{
		OrderID: second, Reason: "deadline", Detail: "not confirmed in time", OccurredAt: k.time()})
}

// TestTheDeadlineRowIsTakenFirst: every writer locks it before the order's stream, as the
// deadline worker does, so that none waits for another that waits for it.
func TestTheDeadlineRowIsTakenFirst(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := k.place(cart()).ID
	noted := make(chan error, 1)
	err := k.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SELECT FROM saga_deadlines WHERE order_id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		go func() { // leaves the order PENDING, so its deadline row stays
			noted <- told(k.kit, k.app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
		}()
		k.awaitBlocked()
		// Had it appended already, this would wait for it, and it for us.
		_, err := k.app.CancelOrder(context.Background(), tx, id, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-noted; errs.KindOf(err) != errs.Conflict {
		t.Errorf("the second writer: %v", err)
	}
	if o := k.get(id); o.Status != order.Cancelling {
		t.Errorf("%s", o.Status)
	}
}

// TestADeadlineThatMetTheConsumerIsNoError: the order was moved on meanwhile, or is due
// again at the next look.
func TestADeadlineThatMetTheConsumerIsNoError(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := k.place(cart()).ID
	k.advance(5 * time.Minute)
	passed := make(chan error, 1)
	err := k.tx(func(tx pgx.Tx) error {
		// Another writer of the stream that takes no deadline row, as one of a release before.
		_, err := eventstore.Append(context.Background(), tx, id, 3,
			[]eventstore.NewRecord{{Type: "OrderFulfilmentFailed", Data: []byte(`{"reason":"out_of_stock"}`), Metadata: []byte(`{}`)}})
		if err != nil {
			return err
		}
		go func() {
			_, err := k.app.PassDeadlines(context.Background())
			passed <- err
		}()
		k.awaitBlocked()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-passed; err != nil {
		t.Errorf("the worker that lost: %v", err)
	}
	if n, err := k.app.PassDeadlines(context.Background()); n != 1 || err != nil {
		t.Errorf("%d due, %v", n, err)
	}
	if o := k.get(id); o.Status != order.Cancelling {
		t.Errorf("%s", o.Status)
	}
}

// TestACancellationThatAlwaysLosesIsNoAnswer about the order: the client is asked to try
// again (503), and not told that the order cannot be cancelled (409).
func TestACancellationThatAlwaysLosesIsNoAnswer(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := k.place(cart()).ID
	k.exec(`CREATE FUNCTION faster() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'another writer was faster' USING ERRCODE = 'unique_violation'; END $$`)
	k.exec(`CREATE TRIGGER faster BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION faster()`)
	if _, err := k.cancel(id, ""); errs.KindOf(err) != errs.Transient {
		t.Errorf("lost every race: %v (%s)", err, errs.KindOf(err))
	}
	k.exec(`DROP TRIGGER faster ON events`)
	if o, err := k.cancel(id, ""); err != nil || o.Status != order.Cancelling {
		t.Errorf("%s, %v", o.Status, err)
	}
}

// TestTheLoserOfARaceDrawsNoSequenceNumber: of two writers of one version the second fails at
// the event store, before it has inserted an outbox row. The order of sequence numbers is
// then that of versions whoever wins.
func TestTheLoserOfARaceDrawsNoSequenceNumber(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := k.place(cart()).ID
	tell(k.kit, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"}) // no deadline row any more
	lost := make(chan error, 1)
	err := k.tx(func(tx pgx.Tx) error {
		e := event(events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
		if err := k.app.OnShipmentDispatched(context.Background(), tx, e); err != nil {
			return err
		}
		go func() {
			lost <- told(k.kit, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"})
		}()
		k.awaitBlocked()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-lost; errs.KindOf(err) != errs.Conflict {
		t.Fatalf("the second writer: %v", err)
	}
	tell(k.kit, k.app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: k.time()})
	if n := k.count(`SELECT max(seq) - min(seq) + 1 - count(*) FROM outbox`); n != 0 {
		t.Errorf("%d sequence numbers were drawn for nothing", n)
	}
	inVersionOrder(k.kit, id)
}
