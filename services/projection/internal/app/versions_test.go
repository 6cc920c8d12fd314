package app_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/app"
)

// TestVersions: the read model stores the version of the last order event that was applied, of
// whatever type it is and whether OrderCreated has come. Events of other topics have versions of
// their own. The answers to commands do not count, because the order service counts them as little when
// it returns Order-Version. What is committed is announced.
func TestVersions(t *testing.T) {
	f := newFixture(t)
	id := uuid.NewString()
	var announced []int64
	f.app.Reached = func(orderID string, version int64) {
		if orderID != id {
			t.Errorf("%s was announced", orderID)
		}
		announced = append(announced, version)
	}
	arrivals := []delivery{ // the versions have gaps: private events of the order have versions, too
		deliveryOf(app.OnOrderConfirmed, 4, events.OrderConfirmed{OrderID: id, OccurredAt: start}),
		deliveryOf(app.OnOrderCreated, 3, events.OrderCreated{OrderID: id, OccurredAt: start}),
		deliveryOf(app.OnPaymentCompleted, 99, events.PaymentCompleted{OrderID: id, OccurredAt: start, Currency: "GBP"}),
		deliveryOf(app.OnOrderCancellationRequested, 5, events.OrderCancellationRequested{OrderID: id, OccurredAt: start}),
		deliveryOf(app.OnOrderShipped, 7, events.OrderShipped{OrderID: id, OccurredAt: start}),
		deliveryOf(app.OnOrderCommandAnswered, 8, events.OrderCommandAnswered{OrderID: id, Command: "ConfirmOrder", Outcome: "unchanged", OccurredAt: start}),
		deliveryOf(app.OnOrderDelivered, 9, events.OrderDelivered{OrderID: id, OccurredAt: start}),
		deliveryOf(app.OnOrderCancelled, 11, events.OrderCancelled{OrderID: id, OccurredAt: start}),
	}
	var stored []int64
	arrived := map[string]bool{}
	for _, e := range arrivals {
		f.receive(e)
		arrived[e.name] = true
		versions, err := f.app.Versions(t.Context(), []string{id, uuid.NewString()})
		if err != nil || len(versions) != 1 {
			t.Fatalf("%v, %v", versions, err)
		}
		stored = append(stored, versions[id])
	}
	if diff := cmp.Diff([]int64{4, 4, 4, 5, 7, 7, 9, 11}, stored); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{4, 3, 5, 7, 9, 11}, announced); diff != "" {
		t.Errorf("announced (-want +got):\n%s", diff)
	}
	for _, typ := range events.Catalogue().Types() {
		if typ.Topic == events.TopicOrderEvents && !arrived[typ.Name] {
			t.Errorf("%s is not tried", typ.Name)
		}
	}
}
