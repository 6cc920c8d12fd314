package saga_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/operators/opstest"
	"eventshop.example/ops/saga"
)

// now is the time of all tests.
func now() time.Time { return time.Date(2026, 2, 3, 12, 0, 0, 0, time.UTC) }

// world is a shop with three services that can hold an order.
type world struct {
	t                        *testing.T
	order, payment, shipping *opstest.Server
	services                 *opstest.Services
	orchestrator             *opstest.Orchestrator
	shop                     *saga.Shop
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, order: opstest.Start(t, "order"), payment: opstest.Start(t, "payment"), shipping: opstest.Start(t, "shipping"), services: opstest.StartServices(t), orchestrator: opstest.StartOrchestrator(t)}
	u := w.services.URL
	fleet := operators.NewFleet(map[string]string{"order": w.order.URL, "payment": w.payment.URL, "shipping": w.shipping.URL}, "ada")
	w.shop = saga.New(saga.Endpoints{Order: u, Payment: u, Inventory: u, Shipping: u, Orchestrator: w.orchestrator.URL}, fleet, now)
	return w
}

func orderID(n int) string { return opstest.ID(0x4000 + n) }

// order returns an order that was placed, and last moved, so long ago. Its deadline is five minutes
// after it was placed.
func order(n int, status string, placed, moved time.Duration) map[string]any {
	at := now().Add(-placed)
	return map[string]any{
		"orderId": orderID(n), "version": 3, "status": status, "needsAttention": false,
		"placedAt": at, "confirmBy": at.Add(5 * time.Minute), "updatedAt": now().Add(-moved),
	}
}

func (w *world) underWay(n int, status string, placed, moved time.Duration) map[string]any {
	o := order(n, status, placed, moved)
	w.services.Sagas = append(w.services.Sagas, o)
	return o
}

// list formats the sagas as "order status: holds".
func (w *world) list(f saga.Filter) []string {
	w.t.Helper()
	list, unanswered, err := w.shop.List(w.t.Context(), f)
	if err != nil || len(unanswered) > 0 {
		w.t.Fatal(err, unanswered)
	}
	return describe(list)
}

func describe(list []saga.Saga) []string {
	out := []string{}
	for _, s := range list {
		var why []string
		for _, h := range s.Holds {
			why = append(why, fmt.Sprintf("%s of %s", h.Kind, h.Group))
		}
		if s.Overdue {
			why = append(why, "overdue")
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s: %s", s.OrderID, s.Status, strings.Join(why, ", "))))
	}
	return out
}

func want(n int, rest string) string { return orderID(n) + " " + rest }

func TestOverdue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.underWay(1, "PENDING", time.Minute, time.Minute)
	w.underWay(2, "PENDING", time.Hour, time.Hour)
	w.underWay(3, "CANCELLING", time.Hour, 10*time.Second) // its deadline has just passed
	w.underWay(4, "CANCELLING", time.Hour, time.Minute)
	w.underWay(5, "CONFIRMED", time.Hour, time.Hour) // waits for the carrier, which has no deadline
	w.underWay(6, "SHIPPED", time.Hour, time.Hour)
	all := []string{
		want(1, "PENDING:"), want(2, "PENDING: overdue"), want(3, "CANCELLING:"),
		want(4, "CANCELLING: overdue"), want(5, "CONFIRMED:"), want(6, "SHIPPED:"),
	}
	if diff := cmp.Diff(all, w.list(saga.Filter{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{all[1], all[3]}, w.list(saga.Filter{Stuck: true})); diff != "" {
		t.Error(diff)
	}
	w.services.PageSize = 4 // the list has several pages
	if diff := cmp.Diff(all, w.list(saga.Filter{})); diff != "" {
		t.Error(diff)
	}
}

// TestParkedAndDead: a dead letter that parks its key is one reason, not two.
func TestParkedAndDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := 1; n <= 3; n++ {
		w.underWay(n, "PENDING", time.Minute, time.Minute)
	}
	w.payment.Add(1, orderID(1))
	next := now().Add(time.Minute)
	w.payment.Parked = []operators.ParkedKey{
		{Key: opstest.Key(orderID(1)), State: operators.Dead, Head: opstest.ID(1)},
		{Key: opstest.Key(orderID(2)), State: operators.Retrying, Head: opstest.ID(7), NotBefore: next},
	}
	w.shipping.Add(2, orderID(1)).Status = operators.Resolved
	if diff := cmp.Diff([]string{
		want(1, "PENDING: dead letter of payment"), want(2, "PENDING: parked key of payment"), want(3, "PENDING:"),
	}, w.list(saga.Filter{})); diff != "" {
		t.Error(diff)
	}
	list, _, err := w.shop.List(t.Context(), saga.Filter{})
	if err != nil || list[0].Holds[0].ID != opstest.ID(1) || !list[1].Holds[0].Next.Equal(next) {
		t.Errorf("%+v %v", list, err)
	}
}

// TestEndedOrdersThatAreHeld: the order service has finished, another service has not.
func TestEndedOrdersThatAreHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.underWay(1, "PENDING", time.Minute, time.Minute)
	w.services.Orders[orderID(2)] = order(2, "DELIVERED", time.Hour, time.Minute)
	w.services.Orders[orderID(3)] = order(3, "CANCELLED", 2*time.Hour, time.Minute)
	w.shipping.Add(1, orderID(2))
	w.payment.Parked = []operators.ParkedKey{{Key: opstest.Key(orderID(3)), State: operators.Retrying}}
	w.payment.Add(2, orderID(4))       // no order: a foreign record with an order id as key
	w.payment.Add(3, "not an order")   // a foreign record
	w.payment.Add(4, "").Parks = false // a record without key
	if diff := cmp.Diff([]string{
		want(1, "PENDING:"), want(2, "DELIVERED: dead letter of shipping"), want(3, "CANCELLED: parked key of payment"),
	}, w.list(saga.Filter{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		want(1, "PENDING:"), want(3, "CANCELLED: parked key of payment"),
	}, w.list(saga.Filter{OlderThan: 90 * time.Minute})); diff != "" {
		t.Error(diff) // the order service itself selects orders that are under way
	}
	if diff := cmp.Diff([]string{want(1, "PENDING:")}, w.list(saga.Filter{NeedsAttention: true})); diff != "" {
		t.Error(diff) // likewise
	}
}

func TestBreakersHoldWhatWaitsForThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n, c := range []struct{ status, payment, reservation string }{
		1: {"PENDING", "", ""},
		2: {"PENDING", "COMPLETED", "AWAITING_ITEMS"},
		3: {"PENDING", "COMPLETED", "RESERVED"},
		4: {"CANCELLING", "COMPLETED", "RESERVED"},
		5: {"CANCELLING", "REFUNDING", "RELEASED"},
		6: {"CONFIRMED", "COMPLETED", "RESERVED"},
		7: {"CANCELLING", "REFUND_FAILED", "RELEASED"},
	} {
		if n == 0 {
			continue
		}
		w.underWay(n, c.status, time.Minute, time.Minute)
		if c.payment != "" {
			w.services.Payments[orderID(n)] = map[string]any{"status": c.payment}
		}
		if c.reservation != "" {
			w.services.Reservations[orderID(n)] = map[string]any{"status": c.reservation}
		}
	}
	closed := []operators.Breaker{{Name: "gateway", State: "closed"}}
	w.payment.Breakers = closed
	if got := w.list(saga.Filter{Stuck: true}); len(got) != 0 {
		t.Errorf("with closed breakers: %v", got)
	}
	w.payment.Breakers = []operators.Breaker{{Name: "gateway", State: "open", RetryAfterMs: 5000}}
	if diff := cmp.Diff([]string{
		want(1, "PENDING: breaker of payment"), want(5, "CANCELLING: breaker of payment"), want(7, "CANCELLING: refund failed of payment"),
	}, w.list(saga.Filter{Stuck: true})); diff != "" {
		t.Errorf("gateway: %s", diff)
	}
	list, _, err := w.shop.List(t.Context(), saga.Filter{Stuck: true})
	if err != nil || !list[0].Holds[0].Next.Equal(now().Add(5*time.Second)) || list[0].Holds[0].Type != "gateway" {
		t.Errorf("%+v %v", list, err)
	}
	w.payment.Breakers, w.shipping.Breakers = closed, []operators.Breaker{{Name: "carrier", State: "half-open"}}
	if diff := cmp.Diff([]string{
		want(3, "PENDING: breaker of shipping"), want(4, "CANCELLING: breaker of shipping"), want(6, "CONFIRMED: breaker of shipping"),
		want(7, "CANCELLING: refund failed of payment"),
	}, w.list(saga.Filter{Stuck: true})); diff != "" {
		t.Errorf("carrier: %s", diff)
	}
}

func TestWhoIsDownIsNamedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	u := w.services.URL
	fleet := operators.NewFleet(map[string]string{"order": w.order.URL, "payment": gone.URL}, "ada")
	w.order.Add(1, orderID(1))
	w.order.Add(2, orderID(2))
	w.underWay(1, "PENDING", time.Minute, time.Minute)
	w.underWay(2, "PENDING", time.Minute, time.Minute)
	shop := saga.New(saga.Endpoints{Order: u, Payment: gone.URL, Inventory: u}, fleet, now)
	list, unanswered, err := shop.List(t.Context(), saga.Filter{})
	if err != nil || len(list) != 2 || len(unanswered) != 1 || !strings.Contains(unanswered[0].Error(), "payment cannot be asked") {
		t.Errorf("%v %v %v", describe(list), unanswered, err)
	}
	shop = saga.New(saga.Endpoints{Order: gone.URL, Payment: u, Inventory: u}, fleet, now)
	if _, _, err := shop.List(t.Context(), saga.Filter{}); err == nil || !strings.Contains(err.Error(), "ask the order service") {
		t.Errorf("without the order service: %v", err)
	}
}

// TestRetryOldestFirst: over all groups, because that is the order of events.
func TestRetryOldestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services.Orders[orderID(1)] = order(1, "PENDING", time.Hour, time.Hour)
	w.shipping.Add(1, orderID(1))
	w.order.Add(2, orderID(1))
	w.shipping.Add(3, orderID(1))
	w.payment.Add(4, orderID(2))
	steps, unanswered, err := w.shop.Retry(t.Context(), orderID(1), "ada", "")
	if err != nil || len(unanswered) > 0 {
		t.Fatal(err, unanswered)
	}
	var got []string
	for _, s := range steps {
		got = append(got, fmt.Sprintf("%s %s %v", s.Group, s.ID, s.Done))
	}
	if diff := cmp.Diff([]string{"shipping " + opstest.ID(1) + " true", "order " + opstest.ID(2) + " true", "shipping " + opstest.ID(3) + " true"}, got); diff != "" {
		t.Error(diff)
	}
	if again, _, err := w.shop.Retry(t.Context(), orderID(1), "ada", ""); err != nil || len(again) != 0 {
		t.Errorf("again: %+v %v", again, err)
	}
}
