package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// open says that every participant knows both styles.
func (f *fixture) open() {
	f.t.Helper()
	if _, err := f.pool.Exec(context.Background(), `UPDATE saga_style SET ready = true, reason = ''`); err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.app.GetSagaStyle(context.Background()); err != nil {
		f.t.Fatal(err)
	}
}

// placeOrchestrated places an order whose saga the orchestrator coordinates.
func (f *fixture) placeOrchestrated() string {
	f.t.Helper()
	f.open()
	p := cart()
	p.Style = order.Orchestrated
	return f.place(p).ID
}

// of returns an event of a saga of the style.
func of[T event.Event](style event.Style, data T) consumer.Event[T] {
	e := delivered(data)
	e.Style = style
	return e
}

// mustCommand delivers a record of an orchestrated saga.
func mustCommand[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, data T) {
	f.t.Helper()
	if err := deliver(f, input, of(event.Orchestrated, data)); err != nil {
		f.t.Fatalf("%s: %v", data.EventType(), err)
	}
}

// onlyStyle fails unless every outbox row of the order has the style.
func (f *fixture) onlyStyle(id string, style event.Style) {
	f.t.Helper()
	all := f.count(`SELECT count(*) FROM outbox WHERE aggregate_id = $1`, id)
	if n := f.count(`SELECT count(*) FROM outbox WHERE aggregate_id = $1 AND ce_sagastyle = $2`, id, string(style)); n != all || n == 0 {
		f.t.Errorf("%d of %d rows of order %s are %s", n, all, id, style)
	}
}

// TestOrchestratedRoads runs each saga on the database. Commands move the order on, and every command is
// answered.
func TestOrchestratedRoads(t *testing.T) {
	t.Parallel()
	confirm := func(f *fixture, id string) {
		mustCommand(f, app.OnConfirmOrder, events.ConfirmOrder{OrderID: id, TrackingID: "T1"})
	}
	cancel := func(f *fixture, id, reason string) {
		mustCommand(f, app.OnCancelOrder, events.CancelOrder{OrderID: id, Reason: reason, Detail: "d"})
	}
	dispatched := func(f *fixture, id string) {
		mustCommand(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
	}
	for name, tt := range map[string]struct {
		road   func(f *fixture, id string)
		status order.State
		cause  *order.Cause
		asks   bool
		events []string
	}{
		"delivered": {road: func(f *fixture, id string) {
			confirm(f, id)
			dispatched(f, id)
			mustCommand(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: f.time()})
		}, status: order.Delivered, events: []string{"OrderConfirmed@4", "OrderShipped@5", "OrderDelivered@6"}},
		"the parcel leaves before the command comes": {road: func(f *fixture, id string) {
			dispatched(f, id)
			confirm(f, id)
		}, status: order.Shipped, events: []string{"OrderConfirmed@4", "OrderShipped@5", "OrderCommandAnswered@6"}},
		"confirmed twice": {road: func(f *fixture, id string) {
			confirm(f, id)
			confirm(f, id)
		}, status: order.Confirmed, events: []string{"OrderConfirmed@4", "OrderCommandAnswered@5"}},
		"declined": {road: func(f *fixture, id string) { cancel(f, id, "payment_failed") },
			status: order.Cancelled, cause: &order.Cause{Reason: "payment_failed", Detail: "d"}, events: []string{"OrderCancelled@4"}},
		"unknown SKU": {road: func(f *fixture, id string) { cancel(f, id, "unknown_sku") },
			status: order.Cancelled, cause: &order.Cause{Reason: "out_of_stock", Detail: "unknown_sku: d"}, events: []string{"OrderCancelled@4"}},
		"the customer cancels": {road: func(f *fixture, id string) {
			confirm(f, id)
			if _, err := f.cancel(id, "changed my mind"); err != nil {
				f.t.Fatal(err)
			}
			confirm(f, id) // late
			cancel(f, id, "customer")
			cancel(f, id, "customer")
		}, status: order.Cancelled, cause: &order.Cause{Reason: "customer", Detail: "changed my mind"},
			events: []string{"OrderConfirmed@4", "OrderCancellationRequested@5", "OrderCommandAnswered@6", "OrderCancelled@7", "OrderCommandAnswered@8"}},
		"the deadline passes": {road: func(f *fixture, id string) {
			f.advance(5 * time.Minute)
			if n, err := f.app.PassDeadlines(context.Background()); n != 1 || err != nil {
				f.t.Fatalf("%d deadlines, %v", n, err)
			}
			cancel(f, id, "deadline")
		}, status: order.Cancelled, cause: &order.Cause{Reason: "deadline", Detail: "not confirmed in time"},
			events: []string{"OrderCancellationRequested@4", "OrderCancelled@5"}},
		"cancelled without a request after the confirmation": {road: func(f *fixture, id string) {
			confirm(f, id)
			cancel(f, id, "customer")
		}, status: order.Confirmed, asks: true, events: []string{"OrderConfirmed@4", "OrderCommandAnswered@6"}},
		"a refund fails": {road: func(f *fixture, id string) {
			mustCommand(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "down"})
			cancel(f, id, "out_of_stock")
		}, status: order.Cancelled, cause: &order.Cause{Reason: "out_of_stock", Detail: "d"}, events: []string{"OrderCancelled@5"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.placeOrchestrated()
			tt.road(f, id)
			o := f.get(id)
			if o.Style != order.Orchestrated || o.State != tt.status || (o.Attention != nil) != tt.asks {
				t.Errorf("%s and %s, attention %v; want %s", o.Style, o.State, o.Attention, tt.status)
			}
			if diff := cmp.Diff(tt.cause, o.Cancelled); diff != "" {
				t.Errorf("cancelled: %s", diff)
			}
			if diff := cmp.Diff(append([]string{"OrderCreated@3"}, tt.events...), f.published(id)); diff != "" {
				t.Errorf("published: %s", diff)
			}
			f.onlyStyle(id, event.Orchestrated)
			if n := f.count(`SELECT count(*) FROM saga_deadlines`); n != 0 {
				t.Errorf("%d deadlines left", n)
			}
		})
	}
}

// TestEveryCommandIsAnsweredOnce: in every state a command leads to exactly one answer, which names it as
// its cause. The same record again, without an inbox, leads to none.
func TestEveryCommandIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	dispatch := func(f *fixture, id string) {
		mustCommand(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
	}
	states := map[order.State]func(f *fixture, id string){
		order.Pending: func(*fixture, string) {},
		order.Confirmed: func(f *fixture, id string) {
			mustCommand(f, app.OnConfirmOrder, events.ConfirmOrder{OrderID: id, TrackingID: "T1"})
		},
		order.Shipped: dispatch,
		order.Delivered: func(f *fixture, id string) {
			dispatch(f, id)
			mustCommand(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: f.time()})
		},
		order.Cancelling: func(f *fixture, id string) {
			if _, err := f.cancel(id, ""); err != nil {
				f.t.Fatal(err)
			}
		},
		order.Cancelled: func(f *fixture, id string) {
			mustCommand(f, app.OnCancelOrder, events.CancelOrder{OrderID: id, Reason: "payment_failed"})
		},
	}
	want := map[string]map[order.State]string{
		"ConfirmOrder": {order.Pending: "OrderConfirmed", order.Confirmed: "unchanged", order.Shipped: "unchanged",
			order.Delivered: "unchanged", order.Cancelling: "refused", order.Cancelled: "refused"},
		"CancelOrder": {order.Pending: "OrderCancelled", order.Confirmed: "refused", order.Shipped: "refused",
			order.Delivered: "refused", order.Cancelling: "OrderCancelled", order.Cancelled: "unchanged"},
	}
	f := newEventsFixture(t)
	for state, reach := range states {
		for command, outcomes := range want {
			id := f.placeOrchestrated()
			reach(f.fixture, id)
			if o := f.get(id); o.State != state {
				t.Fatalf("%s, want %s", o.State, state)
			}
			before, _ := f.emitted(id)
			var cause string
			var send func() error
			if command == "ConfirmOrder" {
				e := of(event.Orchestrated, events.ConfirmOrder{OrderID: id, TrackingID: "T1"})
				cause, send = e.ID.String(), func() error { return deliver(f.fixture, app.OnConfirmOrder, e) }
			} else {
				e := of(event.Orchestrated, events.CancelOrder{OrderID: id, Reason: "customer"})
				cause, send = e.ID.String(), func() error { return deliver(f.fixture, app.OnCancelOrder, e) }
			}
			for range 2 {
				if err := send(); err != nil {
					t.Fatalf("%s in %s: %v", command, state, err)
				}
			}
			after, _ := f.emitted(id)
			if len(after) != len(before)+1 {
				t.Errorf("%s in %s: %d answers, want 1", command, state, len(after)-len(before))
				continue
			}
			got := after[len(after)-1].EventType()
			if answer, ok := after[len(after)-1].(*events.OrderCommandAnswered); ok {
				got = answer.Outcome
				if answer.Command != command || answer.State != string(state) || answer.OrderID != id {
					t.Errorf("%s in %s is answered with %+v", command, state, answer)
				}
			}
			if got != outcomes[state] {
				t.Errorf("%s in %s: %s, want %s", command, state, got, outcomes[state])
			}
			if n := f.count(`SELECT count(*) FROM outbox WHERE aggregate_id = $1 AND ce_causationid = $2 AND topic = 'order.events'`, id, cause); n != 1 {
				t.Errorf("%s in %s: %d rows have the command as their cause", command, state, n)
			}
			inVersionOrder(f.fixture, id)
		}
	}
}

// TestContradictions: a record whose style is not the order's changes nothing but the attention. A
// command is not answered.
func TestContradictions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.open()
	records := map[string]func(style event.Style, id string) error{
		"ConfirmOrder": func(style event.Style, id string) error {
			return deliver(f, app.OnConfirmOrder, of(style, events.ConfirmOrder{OrderID: id}))
		},
		"CancelOrder": func(style event.Style, id string) error {
			return deliver(f, app.OnCancelOrder, of(style, events.CancelOrder{OrderID: id}))
		},
		"PaymentRefunded": func(style event.Style, id string) error {
			return deliver(f, app.OnPaymentRefunded, of(style, events.PaymentRefunded{OrderID: id}))
		},
		"ShipmentDispatched": func(style event.Style, id string) error {
			return deliver(f, app.OnShipmentDispatched, of(style, events.ShipmentDispatched{OrderID: id}))
		},
	}
	for own, other := range map[event.Style]event.Style{event.Choreographed: event.Orchestrated, event.Orchestrated: event.Choreographed} {
		for name, send := range records {
			p := cart()
			p.Style = order.Style(own)
			id := f.place(p).ID
			for range 2 { // the second finds the attention there
				if err := send(other, id); err != nil {
					t.Fatal(err)
				}
			}
			o := f.get(id)
			want := order.Cause{Reason: name, Detail: fmt.Sprintf("it is of the %s saga, and the order is %s", other, own)}
			if o.State != order.Pending || o.Attention == nil || *o.Attention != want || o.Version != 4 {
				t.Errorf("%s: %s@%d, attention %v, want PENDING@4 and %v", name, o.State, o.Version, o.Attention, want)
			}
			if diff := cmp.Diff([]string{"OrderCreated@3"}, f.published(id)); diff != "" {
				t.Errorf("%s: published: %s", name, diff)
			}
			f.onlyStyle(id, own)
			if n := f.count(`SELECT count(*) FROM sagas WHERE order_id = $1 AND attention_reason = $2 AND saga_style = $3`, id, name, string(own)); n != 1 {
				t.Errorf("%s: the saga does not ask for attention", name)
			}
			if n := f.count(`SELECT count(*) FROM saga_deadlines WHERE order_id = $1`, id); n != 1 {
				t.Errorf("%s: %d deadlines", name, n)
			}
		}
	}
}

// TestEachContradictionIsLogged, the first one as an order that needs a person.
func TestEachContradictionIsLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	f := newFixture(t).another(slog.New(slog.NewTextHandler(&log, nil)))
	id := f.place(cart()).ID
	mustCommand(f, app.OnConfirmOrder, events.ConfirmOrder{OrderID: id})
	mustCommand(f, app.OnCancelOrder, events.CancelOrder{OrderID: id})
	got := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(got) != 2 || !strings.Contains(got[0], "level=WARN") || !strings.Contains(got[0], "reason=ConfirmOrder") ||
		!strings.Contains(got[1], "level=WARN") || !strings.Contains(got[1], "cause=CancelOrder style=orchestrated saga=choreographed") {
		t.Errorf("logged %q", got)
	}
}

// TestOrdersFromBeforeAreChoreographed: a stream that a release without styles has written goes on as a
// choreographed order.
func TestOrdersFromBeforeAreChoreographed(t *testing.T) {
	t.Parallel()
	for version, form := range map[string]string{"1": `data - 'v' - 'channel'`, "2": `data`} {
		f := newFixture(t)
		id := f.place(cart()).ID
		if n := f.count(`SELECT count(*) FROM events WHERE stream_id = $1 AND version = 1 AND data ->> 'v' = '2' AND NOT data ? 'saga'`, id); n != 1 {
			t.Fatal("a choreographed order is not stored in the form of the release before")
		}
		// Events are append-only, so the trigger that refuses this goes first.
		if _, err := f.pool.Exec(context.Background(), `ALTER TABLE events DISABLE TRIGGER USER`); err != nil {
			t.Fatal(err)
		}
		if _, err := f.pool.Exec(context.Background(), `UPDATE events SET data = `+form+` WHERE stream_id = $1 AND version = 1`, id); err != nil {
			t.Fatal(err)
		}
		if o := f.get(id); o.Style != order.Choreographed {
			t.Errorf("version %s: %q", version, o.Style)
		}
		mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
		if o := f.get(id); o.State != order.Confirmed || o.Attention != nil {
			t.Errorf("version %s: %s, attention %v", version, o.State, o.Attention)
		}
		f.onlyStyle(id, event.Choreographed)
	}
}

// TestTheReleaseBeforeCannotTakeAnOrchestratedOrder: it finds no snapshot that it reads, and no first event.
func TestTheReleaseBeforeCannotTakeAnOrchestratedOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.open()
	styles := map[order.Style]string{}
	for _, style := range []order.Style{order.Choreographed, order.Orchestrated} {
		d := f.draft()
		o := f.placeDraft(d.ID, style)
		if o.Style != style {
			t.Errorf("placed as %s, want %s", o.Style, style)
		}
		styles[style] = o.ID
	}
	f.placeOrchestrated()
	if err := f.app.FlushSnapshots(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := f.count(`SELECT count(*) FROM stream_snapshots WHERE format < 3`); n != 0 {
		t.Errorf("%d snapshots of a format without styles", n)
	}
	for style, want := range map[order.Style]int{order.Choreographed: 1, order.Orchestrated: 0} {
		if n := f.count(`SELECT count(*) FROM snapshots WHERE stream_id = $1`, styles[style]); n != want {
			t.Errorf("%s: %d snapshots for the release before, want %d", style, n, want)
		}
	}
	for _, r := range []string{`jsonb_typeof(data -> 'orderId') <> 'object'`, `data ->> 'v' <> '3'`} {
		if n := f.count(`SELECT count(*) FROM events WHERE event_type = 'OrderCreated' AND stream_id <> $1 AND `+r, styles[order.Choreographed]); n != 0 {
			t.Errorf("%d orchestrated orders have a first event with %s", n, r)
		}
	}
}

// draft starts a draft that can be placed.
func (f *fixture) draft() order.Order {
	f.t.Helper()
	var o order.Order
	err := f.command(func(tx pgx.Tx) (err error) {
		c := cart()
		o, _, err = f.app.StartDraft(context.Background(), tx, app.StartDraft{
			Customer: c.Customer, ShippingAddress: c.ShippingAddress, Items: c.Items, Currency: c.Currency,
		})
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

func (f *fixture) placeDraft(id string, style order.Style) order.Order {
	f.t.Helper()
	o, err := f.tryPlaceDraft(id, style)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

func (f *fixture) tryPlaceDraft(id string, style order.Style) (o order.Order, err error) {
	err = f.command(func(tx pgx.Tx) (err error) {
		o, _, err = f.app.PlaceDraft(context.Background(), tx, uuid.MustParse(id), 0, style, 0)
		return err
	})
	return o, err
}
