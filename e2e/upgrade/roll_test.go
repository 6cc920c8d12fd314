package upgrade

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"eventshop.example/lab/load"
	"eventshop.example/lab/plant"
	"eventshop.example/ops/verify"
)

// TestRoll replaces the release before process by process while orders come in: every service runs
// as two processes, first both of the release before, then one of each release, then both of this one.
// Some are stopped, some are killed. Every promised order ends, and nothing has two effects.
func TestRoll(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	t.Parallel()
	old, now := releases(t)
	s := newShop(t)
	s.up(t, old, flags()...)
	s.stock(t, sku, skuDead)
	s.rule(t, "gateway", `{"match":{"customerId":"`+poor+`"},"decline":"insufficient_funds"}`)
	for _, service := range old.services() {
		s.must(t, old, "scale", service, "2")
	}
	s.readState(t)

	// Dead letters of the release before, on several partitions, which are resubmitted when both run.
	if _, err := plant.Refuse(t.Context(), s.DSN["inventory"], plant.Fault{Table: "reservation_items", Column: "sku", Value: skuDead}); err != nil {
		t.Fatal(err)
	}
	dead := s.placeAll(t, 6, ada, skuDead)
	s.awaitCount(t, int64(len(dead)), "inventory", openLetters)
	if err := plant.Clear(t.Context(), s.DSN["inventory"]); err != nil {
		t.Fatal(err)
	}

	l := load.Start(t.Context(), load.Config{
		SKU: sku, PerSecond: 8, Customers: []string{ada, ada, ada, poor},
		Orders: []string{s.URL["order"], s.URL["order-2"]},
	})
	more := func() {
		t.Helper()
		n := l.Placed() + 8
		eventually(t, time.Minute, func() string { return "orders are accepted" }, func() bool { return l.Placed() >= n })
	}
	more()

	// Expand. The first up also builds this release's programs, which later starts use, and starts the
	// services that only this release has.
	for i, service := range old.services() {
		s.must(t, old, []string{"kill", "stop"}[i%2], service+"-2")
		if i == 0 {
			s.up(t, now)
		} else {
			s.must(t, now, "start", service+"-2")
		}
		t.Log(service, "runs as both releases,", l.Placed(), "orders placed")
		more()
	}
	// Processes of the release before handle the events about them, too.
	drafts := s.placeDrafts(t, 12, "order-2", ada, sku)
	mixed := l.Promised()
	s.await(t, mixed[:len(mixed)/2], delivered, cancelled)
	s.must(t, now, "dlq", "resubmit", "--all", "--reason", "mended", "--wait", "--timeout", "60s")
	s.await(t, dead, delivered)
	s.await(t, drafts, delivered)
	// Processes of both releases give up the records of their partitions, and discard them.
	put, err := plant.Poison(t.Context(), s.Kafka, "upgrade", "payment.events")
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range verify.Readers("payment.events") {
		s.awaitCount(t, int64(put["payment.events"]), group, openLetters)
	}
	s.must(t, now, "dlq", "discard", "--all", "--topic", "payment.events", "--reason", "no event", "--yes")
	more()
	s.cancel(t, s.place(t, ada, sku))
	s.refusesOrchestration(t)

	// Contract.
	for i, service := range old.services() {
		s.must(t, now, []string{"stop", "kill"}[i%2], service)
		more()
		s.must(t, now, "start", service)
		t.Log(service, "runs as this release,", l.Placed(), "orders placed")
	}
	more()
	promised, err := l.Stop()
	promised = append(promised, s.orchestrates(t, now)...)
	if err != nil {
		t.Error(err)
	}
	s.await(t, promised, delivered, cancelled)
	t.Logf("%d orders", len(promised))
	s.verify(t, now)
}

// refusesOrchestration expects that no order is orchestrated while a process of the release before is a
// member of a participant's group: that process would act on the order's events as if they had no coordinator
// at all.
func (s *shop) refusesOrchestration(t *testing.T) {
	t.Helper()
	ofThisRelease := s.URL["order-2"]
	a, err := s.client.Send(t.Context(), http.MethodPut, ofThisRelease+"/sagas/style", `{"orchestratedPercent":20}`)
	if err != nil || a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "does not know styles") {
		t.Errorf("the ramp beside processes of the release before: %v, %d %s", err, a.Status, a.Body)
	}
	body := load.Order{Customer: ada, SKU: sku, Quantity: 1, Saga: "orchestrated"}.Body()
	a, err = s.client.Send(t.Context(), http.MethodPost, ofThisRelease+"/orders", body)
	if err != nil || a.Status != http.StatusConflict {
		t.Errorf("an orchestrated order beside processes of the release before: %v, %d %s", err, a.Status, a.Body)
	}
}

// orchestrates makes half of the customers' orders orchestrated, as soon as only processes of this release
// are left, and places some.
func (s *shop) orchestrates(t *testing.T, now release) (ids []string) {
	t.Helper()
	eventually(t, time.Minute, func() string { return "the ramp is accepted" }, func() bool {
		_, err := s.command(now, "saga", "style", "--orchestrated", "50%")
		return err == nil
	})
	styles := map[string]int{}
	for n := range 12 {
		a := s.post(t, s.URL["order"]+"/orders", load.Order{Customer: fmt.Sprintf("%s-%d", ada, n), SKU: sku, Quantity: 1}.Body(), http.StatusCreated)
		var order struct{ Saga string }
		if err := json.Unmarshal(a.Body, &order); err != nil {
			t.Fatal(err)
		}
		styles[order.Saga]++
		ids = append(ids, a.OrderID())
	}
	if styles["orchestrated"] == 0 || styles["choreographed"] == 0 {
		t.Errorf("at 50 %% the orders of 12 customers are %v", styles)
	}
	return ids
}
