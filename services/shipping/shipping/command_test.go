package shipping

import "testing"

// TestEveryCommandIsAnswered: a command that emits nothing is answered, or an event that answers it is on
// its way. The events themselves are never answered.
func TestEveryCommandIsAnswered(t *testing.T) {
	want := map[Input]map[State]Answer{
		ScheduleShipment: {
			None: Refused, AwaitingReservation: Refused, AwaitingAddress: Refused, Scheduled: Unchanged,
			Failed: Refused, Dispatched: Unchanged, Delivered: Unchanged, Cancelled: Refused},
		CancelShipment: {
			None: Refused, AwaitingReservation: Refused, AwaitingAddress: Refused, Scheduled: Refused,
			Failed: Unchanged, Dispatched: Refused, Delivered: Refused, Cancelled: Unchanged},
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
