package saga_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/saga"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
)

// TestMoneyOnItsWayBack: a refund or void that payment retries is reported with its last error and
// the next attempt. The first attempt is no hold, and neither is an order that moves.
func TestMoneyOnItsWayBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	next := now().Add(12 * time.Second)
	pay := func(n int, state string, attempts int, lastError string) {
		w.services.Payments[orderID(n)] = map[string]any{"status": state, "attempts": attempts, "lastError": lastError, "nextAttemptAt": next}
	}
	w.underWay(1, "PENDING", time.Minute, time.Minute)
	pay(1, "REFUNDING", 3, "no answer")
	w.underWay(2, "CANCELLING", time.Minute, time.Minute)
	pay(2, "VOIDING", 0, "breaker") // the open breaker prevents the call, which is no attempt
	w.underWay(3, "CANCELLING", time.Minute, time.Minute)
	pay(3, "REFUNDING", 0, "")
	w.underWay(4, "CANCELLING", time.Minute, time.Second)
	pay(4, "REFUNDING", 2, "no answer")
	w.underWay(5, "CONFIRMED", time.Minute, time.Minute)
	pay(5, "REFUNDING", 2, "of a confirmed order it is not asked")
	w.payment.Breakers = []operators.Breaker{{Name: "gateway", State: "closed", Failures: 3, LastFault: "500"}}
	if diff := cmp.Diff([]string{
		want(1, "PENDING: returning of payment"), want(2, "CANCELLING: returning of payment"),
		want(3, "CANCELLING: calls fail of payment"), want(4, "CANCELLING:"), want(5, "CONFIRMED:"),
	}, w.list(saga.Filter{})); diff != "" {
		t.Error(diff)
	}
	list, _, err := w.shop.List(t.Context(), saga.Filter{Stuck: true})
	if err != nil || len(list) != 3 {
		t.Fatal(err, describe(list))
	}
	hold := saga.Hold{Kind: saga.Returning, Group: "payment", Type: "REFUNDING", Detail: "no answer", Attempts: 3, Next: &next}
	if diff := cmp.Diff([]saga.Hold{hold}, list[0].Holds); diff != "" {
		t.Error(diff)
	}
}

// TestCallsThatFail: failing calls are reported for the orders that wait for them, and only after
// an order has not moved for a while.
func TestCallsThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n, status := range []string{1: "PENDING", 2: "PENDING", 3: "PENDING", 4: "CONFIRMED", 5: "CANCELLING"} {
		if n > 0 {
			moved := time.Minute
			if n == 3 {
				moved = time.Second
			}
			w.underWay(n, status, time.Minute, moved)
			w.services.Payments[orderID(n)] = map[string]any{"status": "COMPLETED"}
			w.services.Reservations[orderID(n)] = map[string]any{"status": "RESERVED"}
		}
	}
	w.services.Reservations[orderID(2)] = map[string]any{"status": "AWAITING_ITEMS"}
	w.shipping.Breakers = []operators.Breaker{{Name: "carrier", State: "closed", Failures: 2, LastFault: "500"}}
	if diff := cmp.Diff([]string{
		want(1, "PENDING: calls fail of shipping"), want(2, "PENDING:"), want(3, "PENDING:"), want(4, "CONFIRMED:"), want(5, "CANCELLING: calls fail of shipping"),
	}, w.list(saga.Filter{})); diff != "" {
		t.Error(diff)
	}
}

// TestEventsThatWaitForTheRelay: an event on no topic holds its order: at once if the relay reports
// a reason, otherwise after a grace period.
func TestEventsThatWaitForTheRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dsn := pgtest.NewURL(t, outbox.Component())
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	add := func(key, topic string, age time.Duration, published bool) {
		t.Helper()
		_, err := pool.Exec(t.Context(), `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, created_at, published_at)
			VALUES ($1, 0, '', '', 'T', $2, $3, $4, CASE WHEN $5 THEN now() END)`, uuid.Must(uuid.NewV7()), topic, []byte(key), now().Add(-age), published)
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n <= 4; n++ {
		w.underWay(n, "PENDING", time.Minute, time.Second)
	}
	add(orderID(1), "order.events", time.Second, false) // being published
	add(orderID(2), "order.events", time.Minute, false)
	add(orderID(2), "order.events", time.Minute, false) // one hold per topic
	add(orderID(2), "order.snapshots", time.Minute, false)
	add(orderID(3), "order.events", time.Hour, true)
	add(orderID(4), "order.events", time.Second, false)
	add("\xff\xfe\x00rubbish of just the length of an id", "order.events", time.Hour, false)
	add("short", "order.events", time.Hour, false)
	next := now().Add(time.Minute)
	w.order.Outbox.Refused = []operatorapi.Refused{{Topic: "order.events", Key: orderID(4), Reason: "too large", Attempts: 7, NextTry: next}, {Topic: "order.events", Key: orderID(9), Reason: "x"}}
	u := w.services.URL
	fleet := operators.NewFleet(map[string]string{"order": w.order.URL, "payment": w.payment.URL}, "ada")
	w.shop = saga.New(saga.Endpoints{Order: u, Payment: u, Inventory: u, Databases: map[string]string{"order": dsn}}, fleet, now)
	if diff := cmp.Diff([]string{
		want(1, "PENDING:"), want(2, "PENDING: not relayed of order, not relayed of order"), want(3, "PENDING:"), want(4, "PENDING: not relayed of order"),
	}, w.list(saga.Filter{})); diff != "" {
		t.Error(diff)
	}
	one := saga.Saga{OrderID: orderID(4), Status: "PENDING", UpdatedAt: now(), ConfirmBy: now().Add(time.Minute)}
	hold := saga.Hold{Kind: saga.NotRelayed, Group: "order", Topic: "order.events", Type: "T", Detail: "the broker refuses it: too large", Attempts: 7, Next: &next}
	if failed := w.shop.Complete(t.Context(), &one); len(failed) > 0 || !cmp.Equal(one.Holds, []saga.Hold{hold}) {
		t.Errorf("%v %s", failed, cmp.Diff([]saga.Hold{hold}, one.Holds))
	}

	w.order.Outbox.Holds = []operatorapi.Hold{{Name: "operator", Reason: "disk"}}
	got := w.list(saga.Filter{})
	if got[0] != want(1, "PENDING: not relayed of order") || got[2] != want(3, "PENDING:") {
		t.Errorf("on hold: %q", got)
	}
	list, _, err := w.shop.List(t.Context(), saga.Filter{})
	if err != nil || !strings.Contains(fmt.Sprint(list[0].Holds), "on hold by operator: disk") {
		t.Errorf("%v %v", list[0].Holds, err)
	}

	w.shop = saga.New(saga.Endpoints{Order: u, Payment: u, Inventory: u, Databases: map[string]string{"order": "postgres://nobody@127.0.0.1:1/x"}}, fleet, now)
	if list, failed, err := w.shop.List(t.Context(), saga.Filter{}); err != nil || len(list) != 4 || len(failed) != 1 || !strings.Contains(failed[0].Error(), "order's outbox cannot be read") {
		t.Errorf("%q %v %v", describe(list), failed, err)
	}
}
