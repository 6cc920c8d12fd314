package latency

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
)

// record is a record as a service's relay publishes it.
func record(t *testing.T, order, eventType string, at time.Time) *kgo.Record {
	t.Helper()
	e := event.Envelope{
		ID: uuid.Must(uuid.NewV7()), Source: "/eventshop/test", Type: eventType, Subject: order,
		AggregateVersion: 1, Time: at, ContentType: event.ContentTypeAvro,
	}
	r := &kgo.Record{Key: []byte(order)}
	for _, h := range e.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

func newTestWatcher() *watcher {
	return &watcher{names: way(), orders: map[string]*steps{}, done: make(chan struct{})}
}

// Topics are fetched independently, relays repeat records, other orders are under way, and the
// first records can arrive before their order's id is known.
func TestWatcherPutsTheStepsOfAnOrderTogether(t *testing.T) {
	t.Parallel()
	w := newTestWatcher()
	base := time.UnixMicro(1_700_000_000_000_000).UTC()
	names := way()
	for _, i := range []int{4, 0, 2, 1} {
		w.note(record(t, "mine", names[i], base.Add(time.Duration(i)*time.Millisecond)), base.Add(time.Duration(i)*time.Second))
	}
	w.note(record(t, "mine", names[0], base), base.Add(time.Hour)) // again
	w.note(record(t, "mine", "OrderShipped", base), base)
	w.note(record(t, "other", names[3], base), base)
	w.note(&kgo.Record{Key: []byte("mine")}, base)
	select {
	case <-w.of("mine").complete:
		t.Fatal("complete without ShipmentScheduled")
	default:
	}
	w.note(record(t, "mine", names[3], base.Add(3*time.Millisecond)), base.Add(3*time.Second))

	got, err := w.await(t.Context(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range got {
		if want := base.Add(time.Duration(i) * time.Millisecond); !s.appended.Equal(want) {
			t.Errorf("%s appended at %s, want %s", names[i], s.appended, want)
		}
		if want := base.Add(time.Duration(i) * time.Second); !s.seen.Equal(want) {
			t.Errorf("%s seen at %s, want %s", names[i], s.seen, want)
		}
	}
}

func TestAwaitNamesTheStepsThatDidNotCome(t *testing.T) {
	t.Parallel()
	w := newTestWatcher()
	w.note(record(t, "mine", "OrderCreated", time.Now()), time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.await(ctx, "mine")
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "[PaymentCompleted InventoryReserved ShipmentScheduled OrderConfirmed]") {
		t.Errorf("got %v", err)
	}
}
