package shipping

// Answer is how a command of the orchestrated saga that emits no event of its own is answered, so that
// no command stays without an answer.
type Answer string

// The answers.
const (
	Awaited   Answer = ""          // the event that answers it is still to come
	Unchanged Answer = "unchanged" // what the command asks for was there already
	Refused   Answer = "refused"   // it never will be
)

// AnswerTo returns the answer to a command that left the shipping in a state and emitted nothing.
func AnswerTo(command Input, after State) Answer {
	switch command {
	case ScheduleShipment:
		switch after {
		case Scheduled, Dispatched, Delivered:
			return Unchanged
		case None, AwaitingReservation, AwaitingAddress, Failed, Cancelled:
			return Refused
		}
	case CancelShipment:
		switch after {
		case Failed, Cancelled:
			return Unchanged
		case None, AwaitingReservation, AwaitingAddress, Scheduled, Dispatched, Delivered:
			return Refused
		}
	}
	return Awaited
}
