package order

import "fmt"

// Answer is how a command of the orchestrated saga that emits no event of its own is answered, so that
// no command stays without an answer.
type Answer string

// The answers.
const (
	Awaited   Answer = ""          // the event that answers it is still to come
	Unchanged Answer = "unchanged" // what the command asks for was there already
	Refused   Answer = "refused"   // it never will be
)

// AnswerTo returns the answer to a command that left the order in a state and emitted nothing.
func AnswerTo(command Input, after State) Answer {
	switch command {
	case ConfirmOrder:
		switch after {
		case Confirmed, Shipped, Delivered:
			return Unchanged
		}
		return Refused
	case CancelOrder:
		if after == Cancelled {
			return Unchanged
		}
		return Refused
	}
	return Awaited
}

// Answer returns the event that answers a command, if the events that the order decided on have none
// that other services receive. It returns nothing for inputs that are no commands.
func (o Order) Answer(in Input, news []Event) []Event {
	for _, e := range news {
		switch e.(type) {
		case OrderConfirmed, OrderCancelled:
			return nil
		}
	}
	if answer := AnswerTo(in, o.Fold(news...).State); answer != Awaited {
		return []Event{OrderCommandAnswered{in, answer}}
	}
	return nil
}

// Contradicts reports whether a message of a saga of the given style contradicts the order's own. A
// message without a style does not, and neither does one to an order that has no saga.
func (o Order) Contradicts(style Style) bool {
	return style != "" && o.State.Placed() && style != o.Style
}

// Contradicted returns the decision about a message whose saga has the style that the order's does not
// have. The order asks for attention, and nothing else changes. A command is not answered.
func (o Order) Contradicted(in Input, style Style) Decision {
	if o.Attention != nil {
		return Decision{Action: Refuse}
	}
	why := fmt.Sprintf("it is of the %s saga, and the order is %s", style, o.Style)
	return Decision{Action: Refuse, Effect: RaiseAttention, Emit: []Event{OrderNeedsAttention{string(in), why}}}
}
