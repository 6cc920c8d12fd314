package payment

import "testing"

// TestEveryCommandIsAnswered: a command that emits nothing is answered, or an event that answers it is on
// its way. The events themselves are never answered.
func TestEveryCommandIsAnswered(t *testing.T) {
	want := map[Input]map[State]Answer{
		ChargePayment: {
			None: Refused, Completed: Unchanged, Failed: Refused, Voiding: Refused, Voided: Refused,
			Refunding: Refused, Refunded: Refused, RefundFailed: Refused},
		RefundPayment: {
			None: Awaited, Completed: Awaited, Failed: Unchanged, Voiding: Awaited, Voided: Unchanged,
			Refunding: Awaited, Refunded: Unchanged, RefundFailed: Awaited},
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
