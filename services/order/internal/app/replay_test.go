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
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// said is an event that was published, with its delivery as the consumer makes it.
type said struct {
	topic, order, name string
	deliver            func() error
}

func says[T events.Event](k *kit, reaction func(context.Context, pgx.Tx, consumer.Event[T]) error, data T) said {
	e := event(data)
	return said{events.TypeOf[T]().Topic, data.AggregateKey(), data.EventType(), func() error {
		return k.tx(func(tx pgx.Tx) error { return reaction(context.Background(), tx, e) })
	}}
}

// TestReplayHasNoEffect tells the order service every saga, and then all of it again
// without an inbox: from the beginning, and with the topics in other orders. Nothing fails,
// no row changes and no event is added; also not in an order whose facts contradicted each
// other, and not in one that a customer is cancelling.
func TestReplayHasNoEffect(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var all []said
	tell := func(more ...said) {
		t.Helper()
		for _, e := range more {
			if err := e.deliver(); err != nil {
				t.Fatalf("%s: %v", e.name, err)
			}
		}
		all = append(all, more...)
	}
	ends := map[string]order.Status{}
	placed := func(end order.Status) string {
		id := k.place(cart()).ID
		ends[id] = end
		return id
	}
	cancels := func(id string) {
		if _, err := k.cancel(id, "changed my mind"); err != nil {
			t.Fatal(err)
		}
	}
	scheduled := func(id string) said {
		return says(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	}
	dispatched := func(id string) said {
		return says(k, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
	}
	arrived := func(id string) said {
		return says(k, k.app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: k.time()})
	}
	declined := func(id string) said {
		return says(k, k.app.OnPaymentFailed, events.PaymentFailed{OrderID: id, Reason: "insufficient_funds"})
	}
	refunded := func(id, reason string) said {
		return says(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: reason})
	}
	stuck := func(id string) said {
		return says(k, k.app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "down", Attempts: 3})
	}
	short := func(id string) said {
		return says(k, k.app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock"})
	}
	refused := func(id string) said {
		return says(k, k.app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
	}

	id := placed(order.Delivered)
	tell(scheduled(id), dispatched(id), arrived(id))
	id = placed(order.Cancelled)
	tell(declined(id))
	id = placed(order.Cancelled)
	tell(short(id), stuck(id), refunded(id, "out_of_stock"))
	id = placed(order.Cancelled)
	tell(refused(id), refunded(id, "shipment_failed"))
	id = placed(order.Cancelled) // cancelled before the charge
	cancels(id)
	tell(says(k, k.app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"}))
	id = placed(order.Cancelled) // cancelled after it
	tell(scheduled(id))
	cancels(id)
	tell(refunded(id, "customer"))
	id = placed(order.Delivered) // cancelled too late
	tell(scheduled(id))
	cancels(id)
	tell(dispatched(id), says(k, k.app.OnShipmentCancellationRejected, events.ShipmentCancellationRejected{OrderID: id, Reason: "dispatched"}), arrived(id))
	id = placed(order.Pending) // nothing has ended yet
	tell(short(id), stuck(id))
	id = placed(order.Confirmed)
	tell(scheduled(id))
	// What cannot be, and a person has to look at.
	id = placed(order.Cancelling)
	tell(scheduled(id), declined(id))
	cancels(id)
	id = placed(order.Shipped)
	tell(short(id), dispatched(id))

	want := k.everything()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 20 {
		k.advance(time.Second) // what comes again comes later
		again := slices.Clone(all)
		switch {
		case round == 0: // from the beginning, as it was
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
		if diff := cmp.Diff(want, k.everything()); diff != "" {
			t.Fatalf("after replay %d (-before +after):\n%s", round, diff)
		}
	}
	for id, status := range ends {
		if o := k.get(id); o.Status != status {
			t.Errorf("an order is %s, want %s: %+v", o.Status, status, o)
		}
	}
}

// interleaved is an order of arrival that keeps the order of each order's events on each
// topic, as Kafka does, and nothing else.
func interleaved(random *rand.Rand, all []said) []said {
	type queue struct{ topic, order string }
	waiting := map[queue][]said{}
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

// everything is every row of every table that the reactions write, sorted.
func (k *kit) everything() []string {
	k.t.Helper()
	var all []string
	for _, table := range []string{"events", "snapshots", "saga_deadlines", "sagas", "outbox"} {
		rows, err := k.pool.Query(context.Background(), fmt.Sprintf("SELECT to_jsonb(t) FROM %s t ORDER BY to_jsonb(t)::text", table))
		if err != nil {
			k.t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		if err != nil {
			k.t.Fatal(err)
		}
		for _, row := range found {
			all = append(all, table+" "+string(row))
		}
	}
	return all
}
