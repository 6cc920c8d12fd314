package app

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
	"eventshop.example/services/shipping/shipping"
)

// delivery is a published event with its delivery as the consumer makes it.
type delivery struct {
	topic, order, name string
	deliver            func() error
}

func deliveryOf[T event.Event](f *fixture, input func(consumer.Event[T]) Input, data T) delivery {
	e := wrapped(data)
	return delivery{events.TypeOf[T]().Topic, data.AggregateKey(), data.EventType(), func() error { return deliver(f, input, e) }}
}

// TestReplayHasNoEffect processes every saga, and then all events again without an inbox: from the
// beginning, and with the topics in other orders. Nothing fails, no row changes, no event is added,
// and no request changes anything at the carrier. The same holds when the carrier's feed is read
// again from its beginning.
func TestReplayHasNoEffect(t *testing.T) {
	f := newFixture(t)
	var all []delivery
	receive := func(more ...delivery) {
		t.Helper()
		for _, e := range more {
			if err := e.deliver(); err != nil {
				t.Fatalf("%s of %s: %v", e.name, e.order, err)
			}
		}
		all = append(all, more...)
	}
	// The feed accepts only keys that this service could have made, of orders with a UUID.
	idOf := func(name string) string { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String() }
	created := func(name string) delivery {
		data := orderCreatedEvent().Data
		data.OrderID = idOf(name)
		return deliveryOf(f, OnOrderCreated, data)
	}
	reserved := func(name string) delivery {
		return deliveryOf(f, OnInventoryReserved, events.InventoryReserved{OrderID: idOf(name), OccurredAt: noon})
	}
	cancels := func(name string) delivery {
		return deliveryOf(f, OnOrderCancellationRequested,
			events.OrderCancellationRequested{OrderID: idOf(name), Reason: "customer", OccurredAt: noon})
	}
	ends := map[string]shipping.State{
		"delivered": shipping.Delivered, "refused": shipping.Failed, "cancelled at once": shipping.Cancelled, "cancelled": shipping.Cancelled,
		"too late": shipping.Dispatched, "much too late": shipping.Delivered, "declined": shipping.Cancelled, "short": shipping.Cancelled,
		"tombstone": shipping.Cancelled, "scheduled": shipping.Scheduled, "waits": shipping.AwaitingAddress,
	}
	leaves := func(names ...string) {
		for _, name := range names {
			f.carrier.Dispatch(t, Key(idOf(name)), noon)
		}
	}

	receive(created("delivered"), reserved("delivered"), created("scheduled"), reserved("scheduled"), reserved("waits"))
	receive(created("cancelled at once"), cancels("cancelled at once"), reserved("cancelled at once"))
	receive(reserved("cancelled"), created("cancelled"), cancels("cancelled"))
	receive(created("declined"), deliveryOf(f, OnPaymentFailed, events.PaymentFailed{OrderID: idOf("declined"), OccurredAt: noon}))
	receive(created("short"), deliveryOf(f, OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: idOf("short"), OccurredAt: noon}))
	receive(cancels("tombstone"), reserved("tombstone"), created("tombstone"))
	receive(created("too late"), reserved("too late"), created("much too late"), reserved("much too late"))
	leaves("delivered", "too late", "much too late")
	receive(cancels("too late")) // the first input that shows the dispatch
	f.do(f.track)
	f.carrier.Deliver(t, Key(idOf("delivered")), noon)
	f.carrier.Deliver(t, Key(idOf("much too late")), noon)
	f.do(f.track)
	receive(cancels("much too late"))
	f.carrier.Switch(carriertest.Switches{Refuse: "address_not_served"})
	receive(created("refused"), reserved("refused"))
	f.carrier.Switch(carriertest.Switches{})

	want, asked := f.everything(), f.carrier.Requests()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 20 {
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
				t.Fatalf("%s of %s in replay %d: %v", e.name, e.order, round, err)
			}
		}
		if diff := cmp.Diff(want, f.everything()); diff != "" {
			t.Fatalf("after replay %d (-before +after):\n%s", round, diff)
		}
	}
	if diff := cmp.Diff(asked, f.carrier.Requests()); diff != "" {
		t.Errorf("the carrier was asked again (-before +after):\n%s", diff)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE carrier_feed SET cursor = 0`); err != nil {
		t.Fatal(err)
	}
	f.do(f.track)
	if diff := cmp.Diff(want, f.everything()); diff != "" {
		t.Errorf("after the feed from its beginning (-before +after):\n%s", diff)
	}
	for name, state := range ends {
		var got string
		if err := f.pool.QueryRow(t.Context(), `SELECT state FROM shipments WHERE order_id = $1`, idOf(name)).Scan(&got); err != nil || got != string(state) {
			t.Errorf("%s is %s (%v), want %s", name, got, err, state)
		}
	}
}

// TestEachRequestIsRejectedOnce: another request gets an answer, the same request gets none, and
// after an upgrade no request from before it gets one.
func TestEachRequestIsRejectedOnce(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track)
	first, second := cancellationRequestedEvent(), cancellationRequestedEvent()
	for _, e := range []consumer.Event[events.OrderCancellationRequested]{first, second, first, second} {
		f.do(func() error {
			return deliver(f, OnOrderCancellationRequested, e)
		})
	}
	f.want(shipping.Dispatched, scheduled, dispatched, rejected, rejected)
	if _, err := f.pool.Exec(t.Context(), `UPDATE shipments SET rejected_requests = '{*}'`); err != nil {
		t.Fatal(err)
	}
	f.do(f.cancellationRequested)
	f.want(shipping.Dispatched, scheduled, dispatched, rejected, rejected)
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
	for _, table := range []string{"shipments", "outbox"} {
		rows, err := f.pool.Query(f.t.Context(), fmt.Sprintf("SELECT to_jsonb(t) FROM %s t ORDER BY to_jsonb(t)::text", table))
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
