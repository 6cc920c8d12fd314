package app

import (
	"fmt"
	"slices"

	"eventshop.example/services/orchestrator/orchestrator"
)

// Reasons for which a saga turns back: the vocabulary of OrderCancelled. A cancellation that was
// requested brings its own: "customer" or "deadline".
const (
	reasonPaymentFailed  = "payment_failed"
	reasonOutOfStock     = "out_of_stock" // also for an unknown SKU: the detail says which
	reasonShipmentFailed = "shipment_failed"
)

// answer is a participant's answer to a command that emitted no event of its own.
type answer struct{ command, outcome, state string }

// Outcomes of answers.
const (
	outcomeUnchanged = "unchanged"
	outcomeRefused   = "refused"
)

// answerOf returns the input that an answer is. commands are those of the participant. An answer to
// another command, or with an outcome that this program does not know, is no input.
func answerOf(a answer, commands ...orchestrator.Effect) Input {
	command := orchestrator.Effect(a.command)
	if !slices.Contains(commands, command) {
		return Input{wrong: fmt.Sprintf("there is no command %q that this service answers", a.command)}
	}
	state := "in the state " + a.state
	switch a.outcome {
	case outcomeUnchanged:
		return Input{Kind: orchestrator.Unchanged(command), Detail: state}
	case outcomeRefused:
		return Input{Kind: orchestrator.Refused(command), Reason: reasonOf(command), Detail: a.command + " was refused " + state}
	}
	return Input{wrong: fmt.Sprintf("the answer to %s has the unknown outcome %q", command, a.outcome)}
}

// reasonOf returns why a saga turns back when a command is refused.
func reasonOf(command orchestrator.Effect) string {
	switch command {
	case orchestrator.ChargePayment:
		return reasonPaymentFailed
	case orchestrator.ReserveInventory:
		return reasonOutOfStock
	case orchestrator.ScheduleShipment, orchestrator.ConfirmOrder: // the parcel does not leave
		return reasonShipmentFailed
	}
	return "" // a compensation: the saga has turned back before
}
