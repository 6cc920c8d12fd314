package rebuild

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
)

// TestHistories: every order begins with its creation, its events have contiguous versions per topic, and
// the sums are those of the events.
func TestHistories(t *testing.T) {
	t.Parallel()
	const n = 20_000
	var got, want Sums
	versions := map[string]int64{}
	ended := map[string]int{}
	for e, version := range Histories(n, 0, &got) {
		key := e.AggregateKey()
		if _, known := versions[key+events.TopicOrderEvents]; !known && e.EventType() != "OrderCreated" {
			t.Fatalf("order %s begins with %s", key, e.EventType())
		}
		at := key + topicOf(e)
		if versions[at]++; version != versions[at] {
			t.Fatalf("%s of order %s has version %d, want %d", e.EventType(), key, version, versions[at])
		}
		want.Events++
		switch e := e.(type) {
		case events.OrderCreated:
			want.Orders, want.Ordered = want.Orders+1, want.Ordered+e.TotalAmount
		case events.PaymentCompleted:
			want.Payments, want.Captured = want.Payments+1, want.Captured+e.Amount
		case events.PaymentRefunded:
			want.Refunds, want.Refunded = want.Refunds+1, want.Refunded+e.Amount
		case events.OrderDelivered, events.OrderCancelled:
			ended[e.EventType()]++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || got.Events != n {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
	if ended["OrderDelivered"] == 0 || ended["OrderCancelled"] == 0 || got.Refunds == 0 {
		t.Errorf("orders end as %v, with %d refunds", ended, got.Refunds)
	}
	if under := got.Orders - int64(ended["OrderDelivered"]+ended["OrderCancelled"]); under > Open {
		t.Errorf("%d orders are under way at the end", under)
	}
}

// TestHistoriesGoOn: what is published later belongs to other orders.
func TestHistoriesGoOn(t *testing.T) {
	t.Parallel()
	var s Sums
	first := map[string]bool{}
	for e := range Histories(1000, 0, &s) {
		first[e.AggregateKey()] = true
	}
	for e := range Histories(1000, int(s.Orders), &s) {
		if first[e.AggregateKey()] {
			t.Fatalf("order %s goes on", e.AggregateKey())
		}
	}
	if s.Events != 2000 {
		t.Errorf("%d events are summed", s.Events)
	}
}
