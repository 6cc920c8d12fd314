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
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// delivery is a published event with its delivery as the consumer makes it.
type delivery struct {
	topic, order, name string
	deliver            func() error
}

func deliveryOf[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, data T) delivery {
	e := delivered(data)
	return delivery{events.TypeOf[T]().Topic, data.AggregateKey(), data.EventType(), func() error { return receive(f, input, e) }}
}

func deliveryOfCreated(f *fixture, orderID string) delivery {
	e := created(orderID)
	return delivery{events.TopicOrderEvents, orderID, "OrderCreated", func() error { return f.create(e) }}
}

// TestReplayHasNoEffect processes every saga, and then all events again without an inbox: from the
// beginning, and with the topics in other orders. Nothing fails, no row changes, no event is added,
// and the gateway receives no request.
func TestReplayHasNoEffect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.work(f.app)
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
	short := func(id string) delivery {
		return deliveryOf(f, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock"})
	}
	refused := func(id string) delivery {
		return deliveryOf(f, app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
	}
	stopped := func(id string) delivery {
		return deliveryOf(f, app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: id, Reason: "customer"})
	}
	ends := map[string]payment.State{}
	next := func(end payment.State) string {
		id := newOrder()
		ends[id] = end
		return id
	}

	id := next(payment.Completed)
	receive(deliveryOfCreated(f, id))
	f.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Times: 1, Decline: "insufficient_funds"})
	id = next(payment.Failed)
	receive(deliveryOfCreated(f, id))
	for _, undo := range []func(string) delivery{short, refused, stopped} {
		id = next(payment.Refunded)
		receive(deliveryOfCreated(f, id), undo(id))
		f.await(id, payment.Refunded)
	}
	id = next(payment.Voided) // the compensation arrives before the charge
	receive(stopped(id))
	f.await(id, payment.Voided)
	receive(deliveryOfCreated(f, id))
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: 500})
	id = next(payment.RefundFailed)
	receive(deliveryOfCreated(f, id), short(id))
	for n := range int32(maxAttempts - 1) {
		f.awaitAttempts(id, n+1)
		f.advance(2 * backoffMax)
	}
	f.await(id, payment.RefundFailed)
	f.gateway.Mend()

	want, ledger := f.everything(), f.gateway.Ledger()
	calls := func() string {
		return fmt.Sprint(f.gateway.Calls(gatewaytest.Charge), f.gateway.Calls(gatewaytest.Void), f.gateway.Calls(gatewaytest.Refund))
	}
	asked := calls()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 20 {
		f.advance(time.Hour) // repeated events arrive later
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
	for id, state := range ends {
		f.expectState(id, state)
	}
	if diff := cmp.Diff(ledger, f.gateway.Ledger()); diff != "" || calls() != asked {
		t.Errorf("the gateway was asked again: calls %s, were %s; ledger (-before +after):\n%s", calls(), asked, diff)
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
	for _, table := range []string{"payments", "payment_history", "outbox"} {
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
