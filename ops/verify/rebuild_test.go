package verify

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"eventshop.example/pkg/events"
)

// TestRebuildGivesTheReadModels compares with the read models that the fixture's builder wrote
// event by event, independently.
func TestRebuildGivesTheReadModels(t *testing.T) {
	w := soundWorld()
	if diff := cmp.Diff(soundReadModels(w), Rebuild(heard(w.Facts))); diff != "" {
		t.Errorf("read models (-want +got):\n%s", diff)
	}
}

func TestRebuildCountsDuplicatesOnce(t *testing.T) {
	w := soundWorld()
	rapid.Check(t, func(t *rapid.T) {
		records := heard(w.Facts)
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(records)-1), 1, 20).Draw(t, "duplicates") {
			records = append(records, records[i])
		}
		if diff := cmp.Diff(soundReadModels(w), Rebuild(records)); diff != "" {
			t.Fatalf("read models (-want +got):\n%s", diff)
		}
	})
}

// TestRebuildInAnyOrder: there is no order between topics or between partitions, and a resubmitted
// dead letter arrives late within a partition.
func TestRebuildInAnyOrder(t *testing.T) {
	w := soundWorld()
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.Permutation(heard(w.Facts)).Draw(t, "records")
		if diff := cmp.Diff(soundReadModels(w), Rebuild(records)); diff != "" {
			t.Fatalf("read models (-want +got):\n%s", diff)
		}
	})
}

// TestRebuildKnowsEveryEvent: a new event type must be added here, or be one that does not change
// the read models.
func TestRebuildKnowsEveryEvent(t *testing.T) {
	for _, typ := range events.Catalogue().Types() {
		event := typ.New()
		v := reflect.ValueOf(event).Elem()
		v.FieldByName("OrderID").SetString("order-1")
		v.FieldByName("OccurredAt").Set(reflect.ValueOf(began))
		p := Rebuild([]Record{
			{ID: uuid.New(), Key: "order-1", Type: "OrderCreated", Version: 1, Event: &events.OrderCreated{OrderID: "order-1"}},
			{ID: uuid.New(), Key: "order-1", Type: typ.Name, Version: 2, Event: event},
		})
		want := 1
		if strings.HasSuffix(typ.Topic, ".events") {
			want = 2
		}
		if got := len(p.Timeline["order-1"]); got != want {
			t.Errorf("%s: %d events in the timeline, want %d", typ.Name, got, want)
		}
		if want == 2 && !p.Orders["order-1"].UpdatedAt.Equal(began) {
			t.Errorf("%s: updated %s", typ.Name, p.Orders["order-1"].UpdatedAt)
		}
	}
}

// TestRebuildEndsAttention: a refund or void without an answer sets attention, and any event that
// says that no money is kept clears it, in any order of arrival.
func TestRebuildEndsAttention(t *testing.T) {
	placed := Record{ID: uuid.New(), Type: "OrderCreated", Version: 1, Event: &events.OrderCreated{OrderID: "order-1"}}
	failed := Record{ID: uuid.New(), Type: "PaymentRefundFailed", Version: 1, Event: &events.PaymentRefundFailed{OrderID: "order-1"}}
	asks := func(records ...Record) bool { return Rebuild(records).Orders["order-1"].NeedsAttention }
	if !asks(placed, failed) {
		t.Error("a refund that failed does not ask for attention")
	}
	for name, c := range map[string]struct {
		event any
		want  bool
	}{
		"PaymentRefunded":  {&events.PaymentRefunded{OrderID: "order-1"}, false},
		"PaymentVoided":    {&events.PaymentVoided{OrderID: "order-1"}, false},
		"PaymentFailed":    {&events.PaymentFailed{OrderID: "order-1"}, false},
		"PaymentCompleted": {&events.PaymentCompleted{OrderID: "order-1"}, true},
	} {
		next := Record{ID: uuid.New(), Type: name, Version: 2, Event: c.event}
		if got := asks(placed, failed, next); got != c.want {
			t.Errorf("%s: asks for attention %t, want %t", name, got, c.want)
		}
		if got := asks(placed, next, failed); got != c.want {
			t.Errorf("%s, heard first: asks for attention %t, want %t", name, got, c.want)
		}
	}
}

// TestRebuildShowsOrdersOnceCreated: without OrderCreated there is a timeline and money, and no
// order.
func TestRebuildShowsOrdersOnceCreated(t *testing.T) {
	id := uuid.New()
	p := Rebuild([]Record{{ID: id, Key: "order-1", Type: "PaymentCompleted", Version: 1, Event: &events.PaymentCompleted{
		OrderID: "order-1", Amount: 7, Currency: "JPY", OccurredAt: began,
	}}})
	want := Projection{
		Orders:   map[string]ProjectedOrder{},
		Timeline: map[string]map[uuid.UUID]string{"order-1": {id: "PaymentCompleted"}},
		Revenue:  map[string]Revenue{"2026-11-24 JPY": {Captured: total(7), Payments: 1}},
		Versions: Versions{
			History:  map[string]string{},
			Activity: map[string]map[uuid.UUID]string{"order-1": {id: activity("PaymentCompleted", "")}},
			Items:    map[string]Revenue{itemKey("2026-11-24", "JPY", "", ""): {Captured: total(7), Payments: 1}},
		},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("read models (-want +got):\n%s", diff)
	}
}

// TestRebuildCountsOnUTCDays: the time zone of an event does not matter.
func TestRebuildCountsOnUTCDays(t *testing.T) {
	tokyo := time.FixedZone("JST", 9*60*60)
	paid := func(at time.Time) Record {
		return Record{ID: uuid.New(), Key: "order-1", Event: &events.PaymentCompleted{OrderID: "order-1", Amount: 1, Currency: "GBP", OccurredAt: at}}
	}
	p := Rebuild([]Record{paid(began), paid(began.In(tokyo)), paid(began.Add(time.Minute).In(tokyo))})
	want := map[string]Revenue{"2026-11-24 GBP": {Captured: total(2), Payments: 2}, "2026-11-25 GBP": {Captured: total(1), Payments: 1}}
	if diff := cmp.Diff(want, p.Revenue); diff != "" {
		t.Errorf("revenue (-want +got):\n%s", diff)
	}
}
