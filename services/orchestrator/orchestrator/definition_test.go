package orchestrator

import (
	"slices"
	"testing"
)

// TestStepsAndCompensationsOfStates: where an answer is open, the state belongs to a step. What is due
// to be undone begins with the command of the state, and gets shorter with every step back.
func TestStepsAndCompensationsOfStates(t *testing.T) {
	steps := map[State]string{
		Charging: "charge", Reserving: "reserve", Scheduling: "schedule", Confirming: "confirm",
		Stopping: "schedule", Releasing: "reserve", Refunding: "charge", Closing: "close",
	}
	due := []map[State][]Effect{
		{
			Stopping:  {CancelShipment, ReleaseInventory, RefundPayment},
			Releasing: {ReleaseInventory, RefundPayment},
			Refunding: {RefundPayment},
		},
		{
			Stopping:  {CancelShipment, RefundPayment, ReleaseInventory},
			Refunding: {RefundPayment, ReleaseInventory},
			Releasing: {ReleaseInventory},
		},
	}
	for i, d := range Definitions() {
		for _, s := range States() {
			if got := d.StepOf(s); got != steps[s] {
				t.Errorf("definition %d: %s belongs to the step %q, want %q", d.Version, s, got, steps[s])
			}
			if got := d.CompensationsDue(s); !slices.Equal(got, due[i][s]) {
				t.Errorf("definition %d: %s waits for %q, want %q", d.Version, s, got, due[i][s])
			}
		}
	}
	for _, d := range Definitions() {
		for _, s := range States() {
			sent := Decide(d, s, Retry).Effect
			if open := d.StepOf(s) != ""; open != (sent != NoEffect) || open != (d.Due(s) > 0) {
				t.Errorf("definition %d, %s: step %q, command %q, due in %s", d.Version, s, d.StepOf(s), sent, d.Due(s))
			}
			if due := d.CompensationsDue(s); len(due) > 0 && due[0] != sent {
				t.Errorf("definition %d, %s: %q is due first, and the command is %q", d.Version, s, due[0], sent)
			}
		}
	}
}
