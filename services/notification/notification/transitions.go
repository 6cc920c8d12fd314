package notification

// Decide is the transition table. It is total: every state has a decision about every input.
func Decide(s State, in Input) Decision {
	stay := func(a Action) Decision { return Decision{Action: a, Next: s} }
	switch in {
	case OldOrder:
		return stay(Ignore)
	case OrderPlaced, OrderPlacedOut, OrderCreated, OrderCreatedOut, OrderShown:
		return event(s, in)
	case MailAccepted, MailRefused, SendFailed:
		return result(s, in)
	}
	return stay(Refuse)
}

// event decides about an event of the order, or about the order service's answer to one.
func event(s State, in Input) Decision {
	other := in == OrderPlacedOut || in == OrderCreatedOut
	switch {
	case s.written() && other:
		return Decision{Action: Ignore, Next: s}
	case s.written():
		return Decision{Action: Duplicate, Next: s}
	case s == AwaitingPlaced && in == OrderCreatedOut, s == AwaitingCreated && in == OrderPlacedOut:
		return Decision{Action: Duplicate, Next: s} // left out before
	case s == None && in == OrderPlacedOut:
		return Decision{Action: Ignore, Next: AwaitingCreated}
	case s == None && in == OrderCreatedOut:
		return Decision{Action: Ignore, Next: AwaitingPlaced}
	case in == OrderPlaced, in == OrderPlacedOut:
		// OrderPlacedOut is the second event, and the first was left out: the style has changed.
		return Decision{Action: Apply, Next: s, Effect: AskOrder}
	}
	return Decision{Action: Apply, Next: ToSend}
}

// result decides about the result of an attempt. Two processes may make an attempt at the same time,
// when one of them was frozen, with the same key: a result that comes second changes nothing.
func result(s State, in Input) Decision {
	switch {
	case s.Ended():
		return Decision{Action: Duplicate, Next: s}
	case s != ToSend:
		return Decision{Action: Refuse, Next: s}
	case in == MailAccepted:
		return Decision{Action: Apply, Next: Sent}
	case in == MailRefused:
		return Decision{Action: Apply, Next: Refused}
	}
	return Decision{Action: Wait, Next: ToSend}
}
