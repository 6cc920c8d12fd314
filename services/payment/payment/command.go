package payment

// Answer is how a command of the orchestrated saga that emits no event of its own is answered, so that
// no command stays without an answer.
type Answer string

// The answers.
const (
	Awaited   Answer = ""          // the event that answers it is still to come
	Unchanged Answer = "unchanged" // what the command asks for was there already
	Refused   Answer = "refused"   // it never will be
)

// AnswerTo returns the answer to a command that left the payment in a state and emitted nothing.
func AnswerTo(command Input, after State) Answer {
	switch command {
	case ChargePayment:
		if after == Completed {
			return Unchanged
		}
		return Refused // declined, or forbidden by a compensation or at the gateway
	case RefundPayment:
		switch after {
		case Failed, Voided, Refunded:
			return Unchanged
		case None, Completed, Voiding, Refunding, RefundFailed:
			return Awaited // the worker's attempts emit it
		}
	}
	return Awaited
}
