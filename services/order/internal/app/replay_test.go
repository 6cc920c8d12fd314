package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// delivery is a published event with its delivery as the consumer makes it.
type delivery struct {
	topic, order, name string
	deliver            func() error
}

func deliveryOf[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, data T) delivery {
	e := delivered(data)
	return delivery{
		topic: events.TypeOf[T]().Topic, order: data.AggregateKey(), name: data.EventType(),
		deliver: func() error { return deliver(f, input, e) },
	}
}

// commandOf is deliveryOf for a record of an orchestrated saga.
func commandOf[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, data T) delivery {
	d, e := deliveryOf(f, input, data), of(event.Orchestrated, data)
	d.deliver = func() error { return deliver(f, input, e) }
	return d
}

// TestReplayHasNoEffect processes every saga, and then all events again without an inbox: from the
// beginning, and with the topics in other orders. Nothing fails, no row changes and no event is
// added. That includes an order whose facts contradicted each other and an order that a customer is
// cancelling.
func TestReplayHasNoEffect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var all []delivery
	receive := func(more ...delivery) {
		t.Helper()
		for _, e := range more {
			if err := e.deliver(); err != nil {
				t.Fatalf("%s: %v", e.name, err)
			}
		}
		all = append(all, more...)
	}
	ends := map[string]order.State{}
	placed := func(end order.State) string {
		id := f.place(cart()).ID
		ends[id] = end
		return id
	}
	cancels := func(id string) {
		if _, err := f.cancel(id, "changed my mind"); err != nil {
			t.Fatal(err)
		}
	}
	scheduled := func(id string) delivery {
		return deliveryOf(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	}
	dispatched := func(id string) delivery {
		return deliveryOf(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
	}
	arrived := func(id string) delivery {
		return deliveryOf(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: f.time()})
	}
	declined := func(id string) delivery {
		return deliveryOf(f, app.OnPaymentFailed, events.PaymentFailed{OrderID: id, Reason: "insufficient_funds"})
	}
	refunded := func(id, reason string) delivery {
		return deliveryOf(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: reason})
	}
	stuck := func(id string) delivery {
		return deliveryOf(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "down", Attempts: 3})
	}
	short := func(id string) delivery {
		return deliveryOf(f, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock"})
	}
	refused := func(id string) delivery {
		return deliveryOf(f, app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
	}

	f.open()
	orchestrated := func(end order.State) string {
		p := cart()
		p.Style = order.Orchestrated
		id := f.place(p).ID
		ends[id] = end
		return id
	}
	confirm := func(id string) delivery {
		return commandOf(f, app.OnConfirmOrder, events.ConfirmOrder{OrderID: id, TrackingID: "T1"})
	}
	cancel := func(id, reason string) delivery {
		return commandOf(f, app.OnCancelOrder, events.CancelOrder{OrderID: id, Reason: reason})
	}

	id := orchestrated(order.Cancelled) // with commands that were sent again
	receive(confirm(id), confirm(id))
	cancels(id)
	receive(confirm(id), cancel(id, "customer"), cancel(id, "customer"))
	id = orchestrated(order.Confirmed) // cancelled without cause
	receive(confirm(id), cancel(id, "customer"), confirm(id))
	id = orchestrated(order.Pending) // the styles contradict each other
	receive(arrived(id))
	id = placed(order.Pending)
	receive(confirm(id))

	id = placed(order.Delivered)
	receive(scheduled(id), dispatched(id), arrived(id))
	id = placed(order.Cancelled)
	receive(declined(id))
	id = placed(order.Cancelled)
	receive(short(id), stuck(id), refunded(id, "out_of_stock"))
	id = placed(order.Cancelled)
	receive(refused(id), refunded(id, "shipment_failed"))
	id = placed(order.Cancelled) // cancelled before the charge
	cancels(id)
	receive(deliveryOf(f, app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"}))
	id = placed(order.Cancelled) // cancelled after the charge
	receive(scheduled(id))
	cancels(id)
	receive(refunded(id, "customer"))
	id = placed(order.Delivered) // cancelled too late
	receive(scheduled(id))
	cancels(id)
	receive(dispatched(id), deliveryOf(f, app.OnShipmentCancellationRejected, events.ShipmentCancellationRejected{OrderID: id, Reason: "dispatched"}), arrived(id))
	id = placed(order.Pending) // nothing has ended yet
	receive(short(id), stuck(id))
	id = placed(order.Confirmed)
	receive(scheduled(id))
	// Contradictory facts that a person has to look at.
	id = placed(order.Cancelling)
	receive(scheduled(id), declined(id))
	cancels(id)
	id = placed(order.Shipped)
	receive(short(id), dispatched(id))

	want := f.everything()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 20 {
		f.advance(time.Second) // repeated events arrive later
		again := slices.Clone(all)
		switch {
		case round == 0: // from the beginning, in the same order
		case round < 12:
			again = interleaved(random, all)
		default:
			random.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		}
		for _, e := range again {
			if err := e.deliver(); err != nil {
				t.Fatalf("%s in replay %d: %v", e.name, round, err)
			}
		}
		if diff := cmp.Diff(want, f.everything()); diff != "" {
			t.Fatalf("after replay %d (-before +after):\n%s", round, diff)
		}
	}
	for id, status := range ends {
		if o := f.get(id); o.State != status {
			t.Errorf("an order is %s, want %s: %+v", o.State, status, o)
		}
	}
}

// interleaved returns an order of arrival that, like Kafka, keeps the order of each order's events
// on each topic and nothing else.
func interleaved(random *rand.Rand, all []delivery) []delivery {
	type queue struct{ topic, order string }
	waiting := map[queue][]delivery{}
	for _, e := range all {
		k := queue{e.topic, e.order}
		waiting[k] = append(waiting[k], e)
	}
	out := slices.Clone(all)
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for i, e := range out {
		k := queue{e.topic, e.order}
		out[i], waiting[k] = waiting[k][0], waiting[k][1:]
	}
	return out
}

// everything returns every row of every table that the reactions write, sorted.
func (f *fixture) everything() []string {
	f.t.Helper()
	var all []string
	for _, table := range []string{"events", "stream_snapshots", "saga_deadlines", "sagas", "outbox"} {
		rows, err := f.pool.Query(context.Background(), fmt.Sprintf("SELECT to_jsonb(t) FROM %s t ORDER BY to_jsonb(t)::text", table))
		if err != nil {
			f.t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		if err != nil {
			f.t.Fatal(err)
		}
		for _, row := range found {
			all = append(all, table+" "+string(row))
		}
	}
	return all
}
