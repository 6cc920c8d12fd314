package inventory

import "testing"

// TestEveryCommandIsAnswered: a command that emits nothing is answered, or an event that answers it is on
// its way. The events themselves are never answered.
func TestEveryCommandIsAnswered(t *testing.T) {
	want := map[Input]map[State]Answer{
		ReserveInventory: {
			None: Refused, AwaitingPayment: Refused, AwaitingItems: Refused, Reserved: Unchanged,
			Rejected: Refused, Released: Refused, Cancelled: Refused, Shipped: Unchanged},
		ReleaseInventory: {
			None: Unchanged, AwaitingPayment: Unchanged, AwaitingItems: Unchanged, Reserved: Unchanged,
			Rejected: Unchanged, Released: Unchanged, Cancelled: Unchanged, Shipped: Refused},
	}
	for _, in := range Inputs() {
		for _, s := range States() {
			answer, command := want[in][s]
			if _, total := want[in]; total && !command {
				t.Fatalf("no expectation for %s in %q", in, s)
			}
			if got := AnswerTo(in, s); got != answer {
				t.Errorf("%s in %q: %q, want %q", in, s, got, answer)
			}
		}
	}
}
