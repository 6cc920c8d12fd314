package shipping

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// none is the decision for a pair that no rule names.
func none(s State) Decision { return Decision{Action: Refuse, Next: s} }

func ask(action Action, s State, what Effect) Decision {
	return Decision{Action: action, Next: s, Effect: what}
}

// want is the table of Decide written a second time, cell by cell, in the order of Inputs.
var want = map[State][]Decision{
	None: {
		{Action: Wait, Next: AwaitingReservation},
		{Action: Wait, Next: AwaitingAddress},
		{Action: Compensate, Next: Cancelled},
		{Action: Compensate, Next: Cancelled},
		ask(Compensate, None, Cancel),
		{Action: Apply, Next: Scheduled, Emit: []Fact{ShipmentScheduled}},
		{Action: Compensate, Next: Failed, Emit: []Fact{ShipmentFailed}},
		{Action: Compensate, Next: Cancelled, Emit: []Fact{ShipmentCancelled}},
		{Action: Compensate, Next: Cancelled, Emit: []Fact{ShipmentCancelled}},
		{Action: Apply, Next: Dispatched, Emit: []Fact{ShipmentScheduled, ShipmentDispatched, ShipmentCancellationRejected}},
		{Action: Apply, Next: Dispatched, Emit: []Fact{ShipmentScheduled, ShipmentDispatched}},
		{Action: Apply, Next: Delivered, Emit: []Fact{ShipmentScheduled, ShipmentDispatched, ShipmentDelivered}},
		ask(Apply, None, Schedule),
		ask(Compensate, None, Cancel),
	},
	AwaitingReservation: {
		{Action: Duplicate, Next: AwaitingReservation},
		ask(Apply, AwaitingReservation, Schedule),
		{Action: Compensate, Next: Cancelled},
		{Action: Compensate, Next: Cancelled},
		ask(Compensate, AwaitingReservation, Cancel),
		{Action: Apply, Next: Scheduled, Emit: []Fact{ShipmentScheduled}},
		{Action: Compensate, Next: Failed, Emit: []Fact{ShipmentFailed}},
		{Action: Compensate, Next: Cancelled, Emit: []Fact{ShipmentCancelled}},
		{Action: Compensate, Next: Cancelled, Emit: []Fact{ShipmentCancelled}},
		{Action: Apply, Next: Dispatched, Emit: []Fact{ShipmentScheduled, ShipmentDispatched, ShipmentCancellationRejected}},
		{Action: Apply, Next: Dispatched, Emit: []Fact{ShipmentScheduled, ShipmentDispatched}},
		{Action: Apply, Next: Delivered, Emit: []Fact{ShipmentScheduled, ShipmentDispatched, ShipmentDelivered}},
		ask(Apply, AwaitingReservation, Schedule),
		ask(Compensate, AwaitingReservation, Cancel),
	},
	AwaitingAddress: {
		ask(Apply, AwaitingAddress, Schedule),
		{Action: Duplicate, Next: AwaitingAddress},
		none(AwaitingAddress),
		none(AwaitingAddress),
		ask(Compensate, AwaitingAddress, Cancel),
		{Action: Apply, Next: Scheduled, Emit: []Fact{ShipmentScheduled}},
		{Action: Compensate, Next: Failed, Emit: []Fact{ShipmentFailed}},
		{Action: Compensate, Next: Cancelled, Emit: []Fact{ShipmentCancelled}},
		{Action: Compensate, Next: Cancelled, Emit: []Fact{ShipmentCancelled}},
		{Action: Apply, Next: Dispatched, Emit: []Fact{ShipmentScheduled, ShipmentDispatched, ShipmentCancellationRejected}},
		{Action: Apply, Next: Dispatched, Emit: []Fact{ShipmentScheduled, ShipmentDispatched}},
		{Action: Apply, Next: Delivered, Emit: []Fact{ShipmentScheduled, ShipmentDispatched, ShipmentDelivered}},
		ask(Apply, AwaitingAddress, Schedule),
		ask(Compensate, AwaitingAddress, Cancel),
	},
	Scheduled: {
		{Action: Duplicate, Next: Scheduled},
		{Action: Duplicate, Next: Scheduled},
		none(Scheduled),
		none(Scheduled),
		ask(Compensate, Scheduled, Cancel),
		{Action: Duplicate, Next: Scheduled},
		none(Scheduled),
		none(Scheduled),
		{Action: Compensate, Next: Cancelled, Emit: []Fact{ShipmentCancelled}},
		{Action: Apply, Next: Dispatched, Emit: []Fact{ShipmentDispatched, ShipmentCancellationRejected}},
		{Action: Apply, Next: Dispatched, Emit: []Fact{ShipmentDispatched}},
		{Action: Apply, Next: Delivered, Emit: []Fact{ShipmentDispatched, ShipmentDelivered}},
		{Action: Duplicate, Next: Scheduled},
		ask(Compensate, Scheduled, Cancel),
	},
	Failed: {
		{Action: Duplicate, Next: Failed},
		{Action: Duplicate, Next: Failed},
		none(Failed),
		none(Failed),
		{Action: Duplicate, Next: Failed},
		none(Failed),
		{Action: Duplicate, Next: Failed},
		none(Failed),
		{Action: Duplicate, Next: Failed},
		none(Failed),
		{Action: Refuse, Next: Failed, Emit: []Fact{ShipmentDispatched}},
		{Action: Refuse, Next: Failed, Emit: []Fact{ShipmentDispatched}},
		{Action: Duplicate, Next: Failed},
		{Action: Duplicate, Next: Failed},
	},
	Dispatched: {
		{Action: Duplicate, Next: Dispatched},
		{Action: Duplicate, Next: Dispatched},
		none(Dispatched),
		none(Dispatched),
		{Action: Refuse, Next: Dispatched, Emit: []Fact{ShipmentCancellationRejected}},
		{Action: Duplicate, Next: Dispatched},
		none(Dispatched),
		none(Dispatched),
		none(Dispatched),
		{Action: Refuse, Next: Dispatched, Emit: []Fact{ShipmentCancellationRejected}},
		{Action: Duplicate, Next: Dispatched},
		{Action: Apply, Next: Delivered, Emit: []Fact{ShipmentDelivered}},
		{Action: Duplicate, Next: Dispatched},
		{Action: Refuse, Next: Dispatched, Emit: []Fact{ShipmentCancellationRejected}},
	},
	Delivered: {
		{Action: Duplicate, Next: Delivered},
		{Action: Duplicate, Next: Delivered},
		none(Delivered),
		none(Delivered),
		{Action: Refuse, Next: Delivered, Emit: []Fact{ShipmentCancellationRejected}},
		{Action: Duplicate, Next: Delivered},
		none(Delivered),
		none(Delivered),
		none(Delivered),
		{Action: Refuse, Next: Delivered, Emit: []Fact{ShipmentCancellationRejected}},
		{Action: Duplicate, Next: Delivered},
		{Action: Duplicate, Next: Delivered},
		{Action: Duplicate, Next: Delivered},
		{Action: Refuse, Next: Delivered, Emit: []Fact{ShipmentCancellationRejected}},
	},
	Cancelled: {
		none(Cancelled),
		none(Cancelled),
		{Action: Duplicate, Next: Cancelled},
		{Action: Duplicate, Next: Cancelled},
		{Action: Duplicate, Next: Cancelled},
		none(Cancelled),
		{Action: Duplicate, Next: Cancelled},
		{Action: Duplicate, Next: Cancelled},
		{Action: Duplicate, Next: Cancelled},
		none(Cancelled),
		{Action: Refuse, Next: Cancelled, Emit: []Fact{ShipmentDispatched}},
		{Action: Refuse, Next: Cancelled, Emit: []Fact{ShipmentDispatched}},
		none(Cancelled),
		{Action: Duplicate, Next: Cancelled},
	},
}

func TestDecideAnswersEveryPair(t *testing.T) {
	pairs := 0
	for _, s := range States() {
		if len(want[s]) != len(Inputs()) {
			t.Fatalf("%q has %d expectations for %d inputs", s, len(want[s]), len(Inputs()))
		}
		for i, in := range Inputs() {
			pairs++
			if diff := cmp.Diff(want[s][i], Decide(s, in)); diff != "" {
				t.Errorf("Decide(%q, %s) (-want +got):\n%s", s, in, diff)
			}
		}
	}
	if pairs != 8*14 {
		t.Fatalf("%d pairs were compared", pairs)
	}
}

func TestFinalStatesAreNeverLeft(t *testing.T) {
	for _, s := range []State{Failed, Delivered, Cancelled} {
		for _, in := range Inputs() {
			if d := Decide(s, in); d.Next != s || d.Effect != NoEffect {
				t.Errorf("Decide(%q, %s) = %+v", s, in, d)
			}
		}
	}
}

// TestEmissionsNeedAChange: a decision that changes nothing emits nothing, with two exceptions. A
// cancellation that came too late gets an answer every time. The dispatch of a parcel that was
// called off is emitted once, by EmitDispatchOnce.
func TestEmissionsNeedAChange(t *testing.T) {
	for _, s := range States() {
		for _, in := range Inputs() {
			d := Decide(s, in)
			rejection := len(d.Emit) == 1 && d.Emit[0] == ShipmentCancellationRejected
			calledOff := (s == Failed || s == Cancelled) && (in == ParcelDispatched || in == ParcelDelivered)
			if d.Next == s && len(d.Emit) > 0 && !rejection && !calledOff {
				t.Errorf("Decide(%q, %s) stays but emits %v", s, in, d.Emit)
			}
			if again := EmitDispatchOnce(d, true); slices.Contains(again.Emit, ShipmentDispatched) || (calledOff && len(again.Emit) > 0) {
				t.Errorf("EmitDispatchOnce(Decide(%q, %s)) emits %v a second time", s, in, again.Emit)
			}
			if diff := cmp.Diff(d, EmitDispatchOnce(d, false)); diff != "" {
				t.Errorf("EmitDispatchOnce(Decide(%q, %s)) differs the first time:\n%s", s, in, diff)
			}
		}
	}
}
