package story

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/retry"
)

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestADeliveredOrder(t *testing.T) {
	t.Parallel()
	h := (&history{}).delivered()
	same(t, h.reported(t),
		"1 OrderCreated ← request", "2 PaymentCompleted ← 1 20ms", "3 InventoryReserved ← 2 10ms", "4 ShipmentScheduled ← 3 10ms",
		"5 OrderConfirmed ← 4 10ms", "6 ShipmentDispatched ← carrier", "7 OrderShipped ← 6 10ms", "8 ShipmentDelivered ← carrier", "9 OrderDelivered ← 8 10ms")
}

func TestACompensatedOrder(t *testing.T) {
	t.Parallel()
	h := &history{}
	h.add(1, "OrderCreated", 0, 0)
	h.add(2, "PaymentCompleted", 20, 1)
	h.add(3, "OrderCancellationRequested", 30, 0, "reason", "deadline")
	h.add(4, "ShipmentCancelled", 40, 3)
	h.add(5, "PaymentRefunded", 50, 4)
	h.add(6, "OrderCancelled", 60, 5)
	h.add(7, "OrderSnapshot", 30, 0).set(event.HeaderAggregateVersion, "2")
	same(t, h.reported(t),
		"1 OrderCreated ← request", "2 PaymentCompleted ← 1 20ms", "3 OrderCancellationRequested ← deadline", "4 OrderSnapshot ← deadline",
		"5 ShipmentCancelled ← 3 10ms", "6 PaymentRefunded ← 5 10ms", "7 OrderCancelled ← 6 10ms")
}

// TestClocksThatDiffer: an effect comes after its cause although its clock is earlier, and versions
// of one aggregate keep their order.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	h := &history{}
	h.add(1, "OrderCreated", 0, 0)
	h.add(2, "PaymentCompleted", -3_600_000, 1)
	h.add(3, "InventoryReserved", 30, 2)
	h.add(4, "ShipmentScheduled", 40, 3)
	h.add(5, "OrderConfirmed", -50, 4) // and the order service's clock was set back
	h.add(6, "OrderShipped", -60, 0)
	same(t, h.reported(t),
		"1 OrderCreated ← request", "2 PaymentCompleted ← 1 -3.6e+06ms", "3 InventoryReserved ← 2 3.60003e+06ms", "4 ShipmentScheduled ← 3 10ms",
		"5 OrderConfirmed ← 4 -90ms", "6 OrderShipped ← request")
}

// TestOrderDoesNotDependOnTheReading: the result is the same for any order of the records.
func TestOrderDoesNotDependOnTheReading(t *testing.T) {
	t.Parallel()
	h := (&history{}).delivered()
	h.records = append(h.records, h.records[1], h.records[4])
	h.records[9].offset, h.records[10].offset = 70, 71
	h.add(10, "OrderSnapshot", 50, 4)
	want := h.reported(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		random.Shuffle(len(h.records), func(i, j int) { h.records[i], h.records[j] = h.records[j], h.records[i] })
		if diff := cmp.Diff(want, h.reported(t)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestCopies(t *testing.T) {
	t.Parallel()
	h := &history{}
	h.add(1, "OrderCreated", 0, 0)
	again := h.records[0]
	again.offset, again.partition, again.time = 9, 1, noon().Add(time.Hour)
	row := h.records[0]
	row.outbox = "order" // it is published, but not marked yet
	h.records = append(h.records, again, row)
	other := h.records[0]
	other.offset, other.value = 10, []byte(strings.Replace(string(other.value), "OrderCreated", "OrderPlaced", 1))
	h.records = append(h.records, other)
	list, _, err := tell(t.Context(), theOrder, h.records, plain)
	if err != nil {
		t.Fatal(err)
	}
	same(t, shapes(list), "1 OrderCreated ← request 2 copies", "2 OrderCreated ← request (no event: it has the id of another event)")
	want := []Place{{1, 9, noon().Add(time.Hour)}, {3, 0, noon()}}
	if diff := cmp.Diff(want, list[0].Copies); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNotPublishedYet(t *testing.T) {
	t.Parallel()
	h := &history{}
	h.add(1, "OrderCreated", 0, 0)
	h.add(2, "PaymentCompleted", 20, 1).outbox = "payment"
	kept := h.add(3, "InventoryReserved", 30, 2) // Kafka is away, so the outbox replaces it
	kept.outbox, kept.published = "inventory", true
	same(t, h.reported(t), "1 OrderCreated ← request", "2 PaymentCompleted ← 1 20ms unpublished", "3 InventoryReserved ← 2 10ms")
}

// TestStrangers: any record may have an order's key, and none hides the order's own events.
func TestStrangers(t *testing.T) {
	t.Parallel()
	h := &history{}
	h.add(1, "OrderCreated", 0, 0)
	h.add(2, "PaymentCompleted", 20, 1)
	h.records = append(h.records, record{topic: "order.events", offset: 50, time: noon().Add(time.Second), value: []byte("\x00rubbish\x1b[2J")})
	h.add(3, "PaymentFailed", 2000, 99)                                                 // an unknown cause
	h.add(4, "PaymentRefunded", 3000, 1, "orderId", "another\x1b[2J")                   // of another order
	h.add(5, "OrderPlaced", 4000, 1).topic = "payment.events"                           // on a topic that is not its own
	h.add(6, "PaymentVoided", 5000, 1).value = []byte("ShipmentFailed|{}")              // bytes of another type
	h.add(7, "InventoryReleased", 6000, 8).set(event.HeaderCausationID, id(8))          // each other's cause
	h.add(8, "ShipmentFailed", 7000, 7)                                                 //
	h.add(9, "OrderConfirmed", 8000, 1).set(event.HeaderType, "\x1b[31m")               // a type that is not text
	h.add(10, "OrderShipped", 9000, 1).set(event.HeaderCausationID, "carrier-update-7") // no event's id
	h.add(11, "OrderDelivered", 9900, 1).value = nil                                    // a tombstone
	list, _, err := tell(t.Context(), theOrder, h.records, plain)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{} // by number
	for i, e := range list {
		got[e.ID] = strings.SplitN(shapes(list)[i], " ", 2)[1]
	}
	for event, want := range map[string]string{
		id(1): "OrderCreated ← request", id(2): "PaymentCompleted ← 1 20ms", id(3): "PaymentFailed ← unknown",
		id(4): "PaymentRefunded ← 1 3000ms (its value is of order another\x1b[2J)", id(5): "OrderPlaced ← 1 4000ms (it does not belong on this topic)",
		id(6): "PaymentVoided ← 1 5000ms (its value is ShipmentFailed)", id(10): "OrderShipped ← request",
	} {
		if got[event] != want {
			t.Errorf("%q, want %q", got[event], want)
		}
	}
	if len(list) != 12 || !strings.Contains(got[""], "(no event: ") || !strings.Contains(got[id(9)], "no event") {
		t.Errorf("%d events: %q", len(list), got)
	}
	if circle := got[id(7)] + got[id(8)]; !strings.Contains(circle, "InventoryReleased ← ") || !strings.Contains(circle, "ShipmentFailed ← ") {
		t.Errorf("a circle: %q", circle)
	}
}

func TestARegistryThatIsAway(t *testing.T) {
	t.Parallel()
	h := (&history{}).delivered()
	list, _, err := tell(t.Context(), theOrder, h.records, func(string) decoder { return plainly{down: true} })
	if errs.KindOf(err) != errs.Transient || len(list) != 9 || list[0].Type != "OrderCreated" || list[0].Data != nil || list[0].DataError == "" || list[0].Problem != "" {
		t.Errorf("%v %+v", err, list)
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	h := &history{}
	h.add(1, "OrderCreated", 0, 0)
	again := h.records[0]
	again.topic = "order.events.payment.retry"
	again.headers = append([]event.Header{}, again.headers...)
	for name, value := range map[string]string{
		retry.HeaderRetryID: id(70), retry.HeaderRetryGroup: "payment", retry.HeaderAttempts: "2", retry.HeaderInboxID: id(1),
		retry.HeaderNotBefore: "2026-02-03T12:00:09Z", retry.HeaderTopic: "order.events", retry.HeaderPartition: "3", retry.HeaderOffset: "0",
		retry.HeaderTimestamp: "2026-02-03T12:00:00Z", retry.HeaderFirstFailure: "2026-02-03T12:00:01Z", retry.HeaderLastFailure: "2026-02-03T12:00:08Z",
		retry.HeaderErrorClass: "internal", retry.HeaderErrorMessage: "boom", retry.HeaderErrorStack: "at",
	} {
		again.headers = append(again.headers, event.Header{Key: name, Value: []byte(value)})
	}
	strange := h.records[0]
	strange.topic = "order.events.payment.retry"
	h.records = append(h.records, again, strange)
	list, retries, err := tell(t.Context(), theOrder, h.records, plain)
	if err != nil || len(list) != 1 {
		t.Fatal(err, shapes(list))
	}
	want := []Retry{{
		Group: "payment", Topic: "order.events", Type: "OrderCreated", Attempts: 2, Class: "internal", Error: "boom",
		At: noon().Add(8 * time.Second), Due: noon().Add(9 * time.Second),
	}}
	if diff := cmp.Diff(want, retries); diff != "" {
		t.Error(diff)
	}
}

// TestWhatCannotBeDecodedDoesNotCount: without a decodable value, headers make no event of the
// order, unless an outbox has it.
func TestWhatCannotBeDecodedDoesNotCount(t *testing.T) {
	t.Parallel()
	for name, value := range map[string][]byte{"garbage": []byte("\x00garbage"), "nothing": nil, "a letter": []byte("x")} {
		h := &history{}
		h.add(1, "OrderCreated", 0, 0)
		h.add(2, "OrderDelivered", 20, 1).value = value
		h.add(3, "PaymentCompleted", 30, 1).value = value
		list, _, err := tell(t.Context(), theOrder, h.records, plain)
		if err != nil || list[1].Problem == "" || list[1].DataError == "" || ended(list) {
			t.Errorf("%s: %v %+v, ended: %v", name, err, list[1], ended(list))
		}
		s := Story{Events: list}
		if got, _ := waiting(s, nil); waits(got) != "payment answer OrderCreated" {
			t.Errorf("%s: waits for %q", name, waits(got))
		}
		reader := &Reader{opened: true}
		if !reader.hasHole(list[1:]) || reader.hasHole(list) {
			t.Errorf("%s: a stranger's OrderDelivered is no beginning, and its cause no hole", name)
		}
		row := h.records[2] // an outbox of payment has it, so it is payment's
		row.outbox, row.published = "payment", true
		list, _, err = tell(t.Context(), theOrder, append(h.records, row), plain)
		if err != nil || list[2].Problem != "" || list[2].DataError == "" {
			t.Errorf("%s, in an outbox: %v %+v", name, err, list[2])
		}
		if got, _ := waiting(Story{Events: list}, nil); waits(got) != "inventory answer PaymentCompleted" {
			t.Errorf("%s, in an outbox: waits for %q", name, waits(got))
		}
	}
}

// TestDoubt: while the registry does not answer, a record counts neither as an event nor as none.
func TestDoubt(t *testing.T) {
	t.Parallel()
	h := (&history{}).delivered()
	list, _, _ := tell(t.Context(), theOrder, h.records, func(string) decoder { return plainly{down: true} })
	if got, _ := waiting(Story{Events: list}, nil); len(got) != 0 || ended(list) {
		t.Errorf("waits for %q, ended: %v", waits(got), ended(list))
	}
}
