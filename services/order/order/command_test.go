package order_test

import (
	"testing"

	"eventshop.example/services/order/order"
)

// TestEveryCommandIsAnswered: a command that emits nothing is answered, or an event that answers it is on
// its way. The events themselves are never answered.
func TestEveryCommandIsAnswered(t *testing.T) {
	want := map[order.Input]map[order.State]order.Answer{
		order.ConfirmOrder: {
			order.Pending: order.Refused, order.Confirmed: order.Unchanged, order.Shipped: order.Unchanged,
			order.Delivered: order.Unchanged, order.Cancelling: order.Refused, order.Cancelled: order.Refused,
			order.None: order.Refused, order.Draft: order.Refused, order.Discarded: order.Refused},
		order.CancelOrder: {
			order.Pending: order.Refused, order.Confirmed: order.Refused, order.Shipped: order.Refused,
			order.Delivered: order.Refused, order.Cancelling: order.Refused, order.Cancelled: order.Unchanged,
			order.None: order.Refused, order.Draft: order.Refused, order.Discarded: order.Refused},
	}
	for _, in := range order.Inputs() {
		for _, s := range order.States() {
			answer, command := want[in][s]
			if _, total := want[in]; total && !command {
				t.Fatalf("no expectation for %s in %q", in, s)
			}
			if got := order.AnswerTo(in, s); got != answer {
				t.Errorf("%s in %q: %q, want %q", in, s, got, answer)
			}
		}
	}
}
