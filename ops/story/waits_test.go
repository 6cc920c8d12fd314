package story

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"eventshop.example/ops/saga"
)

// waits formats waits as "service to event: reasons".
func waits(list []Wait) string {
	var out []string
	for _, w := range list {
		text := w.Service + " " + w.To
		if w.Service != Carrier {
			text += " " + w.Event
		}
		var because []string
		for _, h := range w.Because {
			because = append(because, h.Kind)
		}
		if len(because) > 0 {
			text += ": " + strings.Join(because, ", ")
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// storyOf returns a story with an event of each type, in turn; a type that ends in "?" is not
// published.
func storyOf(status, types string) Story {
	s := Story{OrderID: theOrder, Order: &Order{Status: status, ConfirmBy: noon().Add(time.Minute)}}
	s.Ended = status == delivered || status == cancelled
	for i, typ := range strings.Fields(types) {
		name, pending := strings.CutSuffix(typ, "?")
		service := map[byte]string{'O': "order", 'P': "payment", 'I': "inventory", 'S': "shipping"}[name[0]]
		s.Events = append(s.Events, Event{N: i + 1, ID: id(i + 1), Type: name, Service: service, Published: !pending, Data: json.RawMessage(`{}`)})
	}
	return s
}

func TestWhatAnOrderWaitsFor(t *testing.T) {
	t.Parallel()
	const paid = "OrderCreated PaymentCompleted "
	const booked = paid + "InventoryReserved ShipmentScheduled "
	for _, c := range []struct{ status, types, want string }{
		{"PENDING", "", "payment answer OrderCreated"}, // no event is there
		{"PENDING", "OrderCreated?", "order publish OrderCreated"},
		{"PENDING", "OrderCreated OrderPlaced?", "payment answer OrderCreated; order publish OrderPlaced"},
		{"PENDING", "OrderCreated", "payment answer OrderCreated"},
		{"PENDING", "OrderCreated PaymentCompleted?", "payment publish PaymentCompleted"},
		{"PENDING", paid, "inventory answer PaymentCompleted"},
		{"PENDING", paid + "InventoryReserved", "shipping answer InventoryReserved"},
		{"PENDING", booked, "order answer ShipmentScheduled"},
		{"CONFIRMED", booked + "OrderConfirmed", "carrier dispatch the parcel"},
		{"CONFIRMED", booked + "OrderConfirmed ShipmentDispatched", "order answer ShipmentDispatched"},
		{"SHIPPED", booked + "OrderConfirmed ShipmentDispatched OrderShipped", "carrier deliver the parcel"},
		{"DELIVERED", booked + "OrderConfirmed ShipmentDispatched OrderShipped ShipmentDelivered OrderDelivered", ""},
		{"DELIVERED", booked + "OrderConfirmed ShipmentDispatched OrderShipped ShipmentDelivered OrderDelivered OrderSnapshot?", "order publish OrderSnapshot"},

		{"PENDING", "OrderCreated PaymentFailed", "order answer PaymentFailed"},
		{"PENDING", paid + "InventoryReservationFailed", "payment answer InventoryReservationFailed"},
		{"PENDING", paid + "InventoryReservationFailed PaymentRefundFailed", "operator have the refund tried again PaymentRefundFailed"},
		{"PENDING", paid + "InventoryReservationFailed PaymentRefundFailed PaymentRefunded", "order answer PaymentRefunded"},
		{"PENDING", paid + "InventoryReserved ShipmentFailed", "payment answer ShipmentFailed; inventory answer ShipmentFailed"},
		{"PENDING", paid + "InventoryReserved ShipmentFailed PaymentRefunded", "inventory answer ShipmentFailed"},
		{"PENDING", paid + "InventoryReserved ShipmentFailed PaymentRefunded InventoryReleased", "order answer PaymentRefunded"},
		{"CANCELLING", "OrderCreated OrderCancellationRequested", "shipping answer OrderCancellationRequested"},
		{"CANCELLING", paid + "OrderCancellationRequested ShipmentCancelled", "payment answer ShipmentCancelled"},
		{"CANCELLING", booked + "OrderCancellationRequested ShipmentCancelled PaymentVoided", "inventory answer ShipmentCancelled"},
		{"CANCELLING", booked + "OrderCancellationRequested ShipmentCancelled? ", "shipping publish ShipmentCancelled"},
		{"CANCELLING", booked + "OrderConfirmed OrderCancellationRequested ShipmentCancellationRejected", "carrier dispatch the parcel"},
		{"CANCELLED", "OrderCreated PaymentFailed OrderCancelled", ""},
	} {
		got, _ := waiting(storyOf(c.status, c.types), nil)
		text := waits(got)
		if c.types == booked+"OrderCancellationRequested ShipmentCancelled? " {
			text, _, _ = strings.Cut(text, ";") // the goods wait for the same relay
		}
		if text != c.want {
			t.Errorf("%s %s: waits for %q, want %q", c.status, c.types, text, c.want)
		}
	}
}

// TestReasons: each hold is listed where it explains a wait, and none is lost.
func TestReasons(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		types string
		holds []saga.Hold
		want  string
		rest  int
	}{
		{"OrderCreated", []saga.Hold{{Kind: saga.BreakerOpen, Group: "payment-2"}, {Kind: saga.DeadLetter, Group: "projection"}}, "payment answer OrderCreated: breaker", 1},
		{"OrderCreated?", []saga.Hold{{Kind: saga.NotRelayed, Group: "order", Type: "OrderCreated"}}, "order publish OrderCreated: not relayed", 0},
		{"OrderCreated?", []saga.Hold{{Kind: saga.DeadLetter, Group: "order"}, {Kind: saga.NotRelayed, Group: "payment", Type: "OrderCreated"}}, "order publish OrderCreated", 2},
		{"OrderCreated PaymentCompleted InventoryReserved ShipmentScheduled OrderConfirmed",
			[]saga.Hold{{Kind: saga.BreakerOpen, Group: "shipping"}, {Kind: saga.ParkedKey, Group: "shipping"}}, "carrier dispatch the parcel: breaker", 1},
		{"OrderCreated PaymentCompleted InventoryReservationFailed PaymentRefundFailed",
			[]saga.Hold{{Kind: saga.RefundFailed, Group: "payment"}, {Kind: saga.BreakerOpen, Group: "payment"}},
			"operator have the refund tried again PaymentRefundFailed: refund failed", 1},
		{"OrderCreated PaymentCompleted InventoryReservationFailed", []saga.Hold{{Kind: saga.Returning, Group: "payment"}},
			"payment answer InventoryReservationFailed: returning", 0},
	} {
		got, rest := waiting(storyOf("PENDING", c.types), c.holds)
		if text := waits(got); text != c.want || len(rest) != c.rest {
			t.Errorf("%s: %q with %d others, want %q with %d", c.types, text, len(rest), c.want, c.rest)
		}
	}
}

// TestTheDeadlineCounts: only while an order is pending.
func TestTheDeadlineCounts(t *testing.T) {
	t.Parallel()
	for status, counts := range map[string]bool{"PENDING": true, "CANCELLING": false, "CONFIRMED": false} {
		got, _ := waiting(storyOf(status, "OrderCreated"), nil)
		if len(got) != 1 || (got[0].By != nil) != counts {
			t.Errorf("%s: %s", status, fmt.Sprint(got))
		}
	}
}
