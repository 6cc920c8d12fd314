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
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
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

func saysCreated(k *kit, orderID string) said {
	e := created(orderID)
	return said{events.TopicOrderEvents, orderID, "OrderCreated", func() error { return k.create(e) }}
}

// TestReplayHasNoEffect tells payment every saga, and then all of it again without an
// inbox: from the beginning, and with the topics in other orders. Nothing fails, no row
// changes, no event is added, and the gateway is not asked for anything.
func TestReplayHasNoEffect(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.work(k.app)
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
	short := func(id string) said {
		return says(k, k.app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock"})
	}
	refused := func(id string) said {
		return says(k, k.app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
	}
	stopped := func(id string) said {
		return says(k, k.app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: id, Reason: "customer"})
	}
	ends := map[string]payment.State{}
	next := func(end payment.State) string {
		id := newOrder()
		ends[id] = end
		return id
	}

	id := next(payment.Completed)
	tell(saysCreated(k, id))
	k.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Times: 1, Decline: "insufficient_funds"})
	id = next(payment.Failed)
	tell(saysCreated(k, id))
	for _, undo := range []func(string) said{short, refused, stopped} {
		id = next(payment.Refunded)
		tell(saysCreated(k, id), undo(id))
		k.await(id, payment.Refunded)
	}
	id = next(payment.Voided) // the undoing overtakes what it undoes
	tell(stopped(id))
	k.await(id, payment.Voided)
	tell(saysCreated(k, id))
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: 500})
	id = next(payment.RefundFailed)
	tell(saysCreated(k, id), short(id))
	for n := range int32(maxAttempts - 1) {
		k.awaitAttempts(id, n+1)
		k.advance(2 * backoffMax)
	}
	k.await(id, payment.RefundFailed)
	k.gateway.Mend()

	want, ledger := k.everything(), k.gateway.Ledger()
	calls := func() string {
		return fmt.Sprint(k.gateway.Calls(gatewaytest.Charge), k.gateway.Calls(gatewaytest.Void), k.gateway.Calls(gatewaytest.Refund))
	}
	asked := calls()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 20 {
		k.advance(time.Hour) // what comes again comes later
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
	for id, state := range ends {
		k.expectState(id, state)
	}
	if diff := cmp.Diff(ledger, k.gateway.Ledger()); diff != "" || calls() != asked {
		t.Errorf("the gateway was asked again: calls %s, were %s; ledger (-before +after):\n%s", calls(), asked, diff)
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
	for _, table := range []string{"payments", "payment_history", "outbox"} {
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
