package notification

// State is the state of the mail about one order. The zero value is None.
type State string

// The states. Sent and Refused are final.
const (
	None            State = ""                       // nothing known of the order
	AwaitingPlaced  State = "AWAITING_ORDER_PLACED"  // OrderCreated came and was left out
	AwaitingCreated State = "AWAITING_ORDER_CREATED" // OrderPlaced came and was left out
	ToSend          State = "TO_SEND"                // the mail is written; the mailbox has not confirmed it
	Sent            State = "SENT"                   // the mailbox has the mail
	Refused         State = "REFUSED"                // the mailbox does not take the mail, for good
)

// States lists all states.
func States() []State {
	return []State{None, AwaitingPlaced, AwaitingCreated, ToSend, Sent, Refused}
}

// Ended reports whether the state is final.
func (s State) Ended() bool { return s == Sent || s == Refused }

// written reports whether the mail exists, sent or not.
func (s State) written() bool { return s == ToSend || s.Ended() }
