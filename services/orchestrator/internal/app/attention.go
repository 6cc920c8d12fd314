package app

import (
	"fmt"

	"eventshop.example/pkg/reaction"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// attention says what a person has to look at after a step that asks for one, and what to do. row is
// the saga after the step, with what a person has to look at already.
func attention(definition orchestrator.Definition, row db.Saga, s reaction.Step[Input]) string {
	in, state := s.Input, orchestrator.State(row.State)
	command := open(definition, state)
	then := fmt.Sprintf(", and then acknowledge it with POST /sagas/%s/acknowledge", row.OrderID)
	switch {
	case in.Order != nil && state == orchestrator.None:
		return fmt.Sprintf("OrderCreated came as orchestrated and names the style %q: no saga began; "+
			"find out which style the order service stored, and cancel the order there%s", in.Order.Style, then)
	case in.Order != nil:
		return fmt.Sprintf("an OrderCreated of this orchestrated order names the style %q: it changed nothing; "+
			"find out what published it (its event id is in the log)%s", in.Order.Style, then)
	case in.Kind == orchestrator.DuePassed && row.Attention != "":
		// There may be an answer: that the step cannot be done.
		return fmt.Sprintf("%s is still not done after %s", command, definition.Due(state))
	case in.Kind == orchestrator.DuePassed:
		return fmt.Sprintf("no answer to %s within %s: see what holds its service up (readiness, dead letters, breakers); "+
			"it answers when that is repaired; if the command is lost, send it again with POST /sagas/%s/retry",
			command, definition.Due(state), row.OrderID)
	case in.Kind == orchestrator.PaymentRefundFailed:
		return fmt.Sprintf("the money was not returned (%s): repair the cause, and have the payment service try again "+
			"with its POST /payments/%s/refund-retry; the saga goes on by itself", in.Reason, row.OrderID)
	case command != orchestrator.NoEffect && in.Kind == orchestrator.Refused(command):
		return fmt.Sprintf("%s: what it undoes may still be in force; settle it with the participant by hand, "+
			"and then send the command again with POST /sagas/%s/retry", in.Detail, row.OrderID)
	}
	return fmt.Sprintf("%s came while the saga was %s, which no command of it can have led to: "+
		"compare what the services have of the order, and settle money and goods by hand%s", in.Kind, row.State, then)
}

// open returns the command whose answer is open in a state.
func open(definition orchestrator.Definition, state orchestrator.State) orchestrator.Effect {
	return orchestrator.Decide(definition, state, orchestrator.Retry).Effect
}

// unexplained reports whether a decision is about something that no command of the saga can have led to. A
// compensation that is refused has an explanation, and the answer after it ends the attention.
func unexplained(definition orchestrator.Definition, d orchestrator.Decision, in Input) bool {
	command := open(definition, d.Next)
	return d.Action == orchestrator.Refuse && d.Attention && (command == orchestrator.NoEffect || in.Kind != orchestrator.Refused(command))
}
