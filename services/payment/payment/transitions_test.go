package payment

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// want is the table of Decide written a second time, cell by cell: the action, the next state if it
// changes, the emitted facts, "charge" when the gateway has to be called first, and "!" when a
// person has to look. The lines are in the order of Inputs.
var want = map[State]string{
	None: `
		OrderCreated               apply charge
		InventoryReservationFailed compensate VOIDING
		ShipmentFailed             compensate VOIDING
		ShipmentCancelled          compensate VOIDING
		ChargeCaptured             apply COMPLETED PaymentCompleted
		ChargeDeclined             apply FAILED PaymentFailed
		ChargeStopped              wait
		VoidConfirmed              refuse
		VoidDeclined               refuse
		VoidTooLate                refuse
		RefundMade                 refuse
		AttemptsSpent              refuse
		RetryRefund                refuse
		ChargePayment              apply charge
		RefundPayment              compensate VOIDING`,
	Completed: `
		OrderCreated               duplicate
		InventoryReservationFailed compensate REFUNDING
		ShipmentFailed             compensate REFUNDING
		ShipmentCancelled          compensate REFUNDING
		ChargeCaptured             duplicate
		ChargeDeclined             refuse !
		ChargeStopped              refuse !
		VoidConfirmed              refuse
		VoidDeclined               refuse
		VoidTooLate                refuse
		RefundMade                 refuse
		AttemptsSpent              refuse
		RetryRefund                refuse
		ChargePayment              duplicate
		RefundPayment              compensate REFUNDING`,
	Failed: `
		OrderCreated               duplicate
		InventoryReservationFailed duplicate
		ShipmentFailed             duplicate
		ShipmentCancelled          duplicate
		ChargeCaptured             compensate REFUNDING PaymentCompleted !
		ChargeDeclined             duplicate
		ChargeStopped              duplicate
		VoidConfirmed              duplicate
		VoidDeclined               duplicate
		VoidTooLate                compensate REFUNDING PaymentCompleted !
		RefundMade                 refuse
		AttemptsSpent              duplicate
		RetryRefund                refuse
		ChargePayment              duplicate
		RefundPayment              duplicate`,
	Voiding: `
		OrderCreated               refuse
		InventoryReservationFailed duplicate
		ShipmentFailed             duplicate
		ShipmentCancelled          duplicate
		ChargeCaptured             compensate REFUNDING PaymentCompleted
		ChargeDeclined             apply FAILED PaymentFailed
		ChargeStopped              apply VOIDED PaymentVoided
		VoidConfirmed              apply VOIDED PaymentVoided
		VoidDeclined               apply FAILED PaymentFailed
		VoidTooLate                compensate REFUNDING PaymentCompleted
		RefundMade                 refuse
		AttemptsSpent              wait PaymentRefundFailed !
		RetryRefund                apply
		ChargePayment              refuse
		RefundPayment              duplicate`,
	Voided: `
		OrderCreated               refuse
		InventoryReservationFailed duplicate
		ShipmentFailed             duplicate
		ShipmentCancelled          duplicate
		ChargeCaptured             compensate REFUNDING PaymentCompleted !
		ChargeDeclined             duplicate
		ChargeStopped              duplicate
		VoidConfirmed              duplicate
		VoidDeclined               refuse !
		VoidTooLate                compensate REFUNDING PaymentCompleted !
		RefundMade                 refuse
		AttemptsSpent              duplicate
		RetryRefund                refuse
		ChargePayment              refuse
		RefundPayment              duplicate`,
	Refunding: `
		OrderCreated               duplicate
		InventoryReservationFailed duplicate
		ShipmentFailed             duplicate
		ShipmentCancelled          duplicate
		ChargeCaptured             duplicate
		ChargeDeclined             refuse !
		ChargeStopped              refuse !
		VoidConfirmed              refuse !
		VoidDeclined               refuse !
		VoidTooLate                duplicate
		RefundMade                 apply REFUNDED PaymentRefunded
		AttemptsSpent              apply REFUND_FAILED PaymentRefundFailed !
		RetryRefund                apply
		ChargePayment              duplicate
		RefundPayment              duplicate`,
	Refunded: `
		OrderCreated               duplicate
		InventoryReservationFailed duplicate
		ShipmentFailed             duplicate
		ShipmentCancelled          duplicate
		ChargeCaptured             duplicate
		ChargeDeclined             refuse !
		ChargeStopped              refuse !
		VoidConfirmed              refuse !
		VoidDeclined               refuse !
		VoidTooLate                duplicate
		RefundMade                 duplicate
		AttemptsSpent              duplicate
		RetryRefund                refuse
		ChargePayment              duplicate
		RefundPayment              duplicate`,
	RefundFailed: `
		OrderCreated               duplicate
		InventoryReservationFailed duplicate
		ShipmentFailed             duplicate
		ShipmentCancelled          duplicate
		ChargeCaptured             duplicate
		ChargeDeclined             refuse !
		ChargeStopped              refuse !
		VoidConfirmed              refuse !
		VoidDeclined               refuse !
		VoidTooLate                duplicate
		RefundMade                 apply REFUNDED PaymentRefunded
		AttemptsSpent              duplicate
		RetryRefund                apply REFUNDING
		ChargePayment              duplicate
		RefundPayment              apply REFUNDING`,
}

// cell parses one line of the table after its input.
func cell(t *testing.T, s State, words []string) Decision {
	t.Helper()
	d := Decision{Action: Action(words[0]), Next: s}
	for _, word := range words[1:] {
		switch {
		case word == "charge":
			d.Effect = Charge
		case word == "!":
			d.Attention = true
		case strings.HasPrefix(word, "Payment"):
			d.Emit = append(d.Emit, Fact(word))
		default:
			d.Next = State(word)
		}
	}
	return d
}

func TestDecideAnswersEveryPair(t *testing.T) {
	pairs := 0
	for _, s := range States() {
		lines := strings.Split(strings.TrimSpace(want[s]), "\n")
		if len(lines) != len(Inputs()) {
			t.Fatalf("%s has %d lines for %d inputs", s, len(lines), len(Inputs()))
		}
		for i, in := range Inputs() {
			words := strings.Fields(lines[i])
			if words[0] != string(in) {
				t.Fatalf("line %d of %s is about %s, not %s", i+1, s, words[0], in)
			}
			if diff := cmp.Diff(cell(t, s, words[1:]), Decide(s, in)); diff != "" {
				t.Errorf("Decide(%s, %s) (-want +got):\n%s", s, in, diff)
			}
			pairs++
		}
	}
	if pairs != 8*15 {
		t.Fatalf("%d pairs were compared", pairs)
	}
}

// TestDecisionsKeepTheRules checks the rules that all pairs share.
func TestDecisionsKeepTheRules(t *testing.T) {
	known := map[State]bool{}
	for _, s := range States() {
		known[s] = true
	}
	broken := func(s State, in Input, d Decision) string {
		captured := d.Next == Completed || d.Next == Refunding || d.Next == Refunded || d.Next == RefundFailed
		emitted := fmt.Sprint(d.Emit)
		switch {
		case !known[d.Next]:
			return "goes to a state that does not exist"
		case d.Next == s && len(d.Emit) > 0 && (s != Voiding || in != AttemptsSpent || emitted != "[PaymentRefundFailed]"):
			return "emits something that is emitted already"
		case (d.Action == Refuse || d.Action == Duplicate || d.Action == Wait) && d.Next != s:
			return "moves although its action is not to move"
		case d.Effect == Charge && (s != None || d.Next != None):
			return "charges what it knows of"
		case captured && !s.holdsOrHeld() && emitted != "[PaymentCompleted]":
			return "learns of a capture and does not emit it"
		case captured && s.holdsOrHeld() && strings.Contains(emitted, "PaymentCompleted"):
			return "emits a capture again"
		case s.holdsOrHeld() && !captured:
			return "forgets a capture"
		case s == Refunded && d.Next != Refunded:
			return "leaves the end"
		}
		return ""
	}
	for _, s := range States() {
		for _, in := range Inputs() {
			d := Decide(s, in)
			if problem := broken(s, in, d); problem != "" {
				t.Errorf("Decide(%s, %s) = %+v %s", s, in, d, problem)
			}
		}
	}
}

func (s State) holdsOrHeld() bool {
	return s == Completed || s == Refunding || s == Refunded || s == RefundFailed
}

func TestAStateThatDoesNotExistRefuses(t *testing.T) {
	for _, in := range Inputs() {
		if d := Decide("BROKEN", in); d.Action != Refuse || d.Next != "BROKEN" || d.Emit != nil || d.Effect != NoEffect {
			t.Errorf("Decide(BROKEN, %s) = %+v", in, d)
		}
	}
}

// TestTheEndIsNotLeft: a final state is never left, except for a capture that the gateway reports
// after it had answered that there was none.
func TestTheEndIsNotLeft(t *testing.T) {
	ended := 0
	for _, s := range States() {
		if !s.Ended() {
			continue
		}
		ended++
		for _, in := range Inputs() {
			found := s != Refunded && (in == ChargeCaptured || in == VoidTooLate)
			if d := Decide(s, in); (d.Next != s) != found {
				t.Errorf("Decide(%s, %s) = %+v", s, in, d)
			}
		}
	}
	if ended != 3 {
		t.Errorf("%d final states, want 3", ended)
	}
}
