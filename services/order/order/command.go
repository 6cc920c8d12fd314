package order

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
