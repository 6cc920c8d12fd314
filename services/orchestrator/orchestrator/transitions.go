package orchestrator

import "slices"

// Decide is the total transition table of a definition: every pair of state and input has a
// decision. A test enumerates all cells of every released definition. A state that the definition
// does not have refuses every input.
//
// Answers of one participant arrive in the order in which it decided; answers of different
// participants arrive in any order. A participant may decide on a compensation before it receives the
// command that is to be undone, because the two are on different topics. So an answer to a command of
// long ago is a duplicate, and one that no command of this saga can have led to is refused and asks
// for a person.
func Decide(d Definition, s State, in Input) Decision {
	if i := d.waiting(s); i >= 0 {
		return d.decideWaiting(i, in)
	}
	if i := d.undoing(s); i >= 0 {
		return d.decideUndoing(i, in)
	}
	switch s {
	case None:
		if in == OrderCreated {
			return d.forward(0)
		}
	case Confirmed:
		return d.decideConfirmed(in)
	case Shipped, Delivered:
		return d.decideGone(s, in)
	case Closing:
		return d.decideClosing(in)
	case Cancelled:
		return decideCancelled(in)
	}
	return Decision{Action: Refuse, Next: s}
}

func duplicate(s State) Decision { return Decision{Action: Duplicate, Next: s} }

// late waits for an answer and asks for a person.
func late(s State) Decision { return Decision{Action: Wait, Next: s, Attention: true} }

// contradict refuses what no command of this saga can have led to.
func contradict(s State) Decision { return Decision{Action: Refuse, Next: s, Attention: true} }

// forward sends the command of step i. After the last step the saga is confirmed.
func (d Definition) forward(i int) Decision {
	if i == len(d.Steps) {
		return Decision{Action: Apply, Next: Confirmed}
	}
	return Decision{Action: Apply, Next: d.Steps[i].Waits, Effect: d.Steps[i].Command}
}

// back sends the compensation of the last step from i down that has one. After the first step the
// order is closed.
func (d Definition) back(a Action, i int) Decision {
	for ; i >= 0; i-- {
		if step := d.Steps[i]; step.Compensation != NoEffect {
			return Decision{Action: a, Next: step.Undoes, Effect: step.Compensation}
		}
	}
	return Decision{Action: a, Next: Closing, Effect: CancelOrder}
}

// decideWaiting decides while the answer to the command of step i is open.
func (d Definition) decideWaiting(i int, in Input) Decision {
	step := d.Steps[i]
	switch {
	case slices.Contains(step.Done, in), in == Unchanged(step.Command):
		return d.forward(i + 1)
	case slices.Contains(step.Failed, in):
		return d.back(Compensate, i-1)
	case in == OrderCancellationRequested, in == Refused(step.Command):
		// The outcome of this step is unknown, or something forbids it. In both cases its
		// compensation makes sure that nothing of it is left.
		return d.back(Compensate, i)
	case gone(in) && d.mayLeave(i):
		return Decision{Action: Apply, Next: after(in)} // the order service confirms what has left
	case in == OrderConfirmed && d.mayLeave(i):
		return Decision{Action: Wait, Next: step.Waits} // the order knows of the dispatch, which follows on another topic
	case in == DuePassed:
		return late(step.Waits)
	case in == Retry:
		return Decision{Action: Apply, Next: step.Waits, Effect: step.Command}
	case in == OrderCreated, d.doneBefore(i, in), answers(in):
		return duplicate(step.Waits)
	}
	return contradict(step.Waits)
}

// decideUndoing decides while the answer to the compensation of step i is open.
func (d Definition) decideUndoing(i int, in Input) Decision {
	step := d.Steps[i]
	switch {
	case slices.Contains(step.Undone, in), in == Unchanged(step.Compensation):
		return d.back(Apply, i-1)
	case step.Pivot && (gone(in) || in == ShipmentCancellationRejected):
		return Decision{Action: Apply, Next: after(in)} // it left before the cancellation
	case gone(in), in == Refused(step.Compensation):
		return contradict(step.Undoes)
	case slices.Contains(step.Done, in):
		// The participant did it before it received the compensation, which it answers by another event.
		return Decision{Action: Wait, Next: step.Undoes}
	case in == DuePassed, step.stuck(in):
		return late(step.Undoes)
	case in == Retry:
		return Decision{Action: Apply, Next: step.Undoes, Effect: step.Compensation}
	case in == OrderCreated, in == OrderCancellationRequested, d.doneBefore(i, in), d.ofLater(i, in), answers(in):
		return duplicate(step.Undoes)
	}
	return contradict(step.Undoes)
}

// decideConfirmed decides while the parcel waits for the carrier.
func (d Definition) decideConfirmed(in Input) Decision {
	switch {
	case in == OrderCancellationRequested:
		return d.back(Compensate, len(d.Steps)-1)
	case gone(in):
		return Decision{Action: Apply, Next: after(in)}
	case in == OrderCreated, in == DuePassed, in == Retry, d.doneBefore(len(d.Steps), in), answers(in):
		return duplicate(Confirmed)
	}
	return contradict(Confirmed)
}

// decideGone decides after the parcel has left.
func (d Definition) decideGone(s State, in Input) Decision {
	switch {
	case in == ShipmentDelivered && s == Shipped:
		return Decision{Action: Apply, Next: Delivered}
	case in == OrderCancellationRequested:
		// The request was accepted before the order knew of the dispatch. Shipping answers it with
		// the rejection that the order waits for.
		return Decision{Action: Apply, Next: s, Effect: CancelShipment}
	case in == OrderCreated, in == DuePassed, in == Retry, in == ShipmentCancellationRejected, gone(in),
		d.doneBefore(len(d.Steps), in), answers(in):
		return duplicate(s)
	}
	return contradict(s)
}

// decideClosing decides when everything is undone and the order is not cancelled yet. A refund that
// failed is an old event that comes again: the money was returned after it, on the same topic.
func (d Definition) decideClosing(in Input) Decision {
	switch {
	case in == OrderCancelled, in == Unchanged(CancelOrder):
		return Decision{Action: Apply, Next: Cancelled}
	case gone(in), in == Refused(CancelOrder), in == ShipmentCancellationRejected:
		return contradict(Closing)
	case in == DuePassed:
		return late(Closing)
	case in == Retry:
		return Decision{Action: Apply, Next: Closing, Effect: CancelOrder}
	}
	return duplicate(Closing)
}

func decideCancelled(in Input) Decision {
	if gone(in) || in == ShipmentCancellationRejected {
		return contradict(Cancelled)
	}
	return duplicate(Cancelled)
}

// gone reports whether an input says that the parcel has left.
func gone(in Input) bool { return in == ShipmentDispatched || in == ShipmentDelivered }

// after returns the state after an input that says that the parcel has left.
func after(in Input) State {
	if in == ShipmentDelivered {
		return Delivered
	}
	return Shipped
}

// mayLeave reports whether the command that hands the parcel over is among those up to step i.
func (d Definition) mayLeave(i int) bool {
	return slices.ContainsFunc(d.Steps[:i+1], func(step Step) bool { return step.Pivot })
}

// doneBefore reports whether an input is the answer with which a step before i was done.
func (d Definition) doneBefore(i int, in Input) bool {
	return slices.ContainsFunc(d.Steps[:i], func(step Step) bool { return slices.Contains(step.Done, in) })
}

// ofLater reports whether an input is an answer of a step after i, which is undone or had never begun.
func (d Definition) ofLater(i int, in Input) bool {
	return slices.ContainsFunc(d.Steps[i+1:], func(step Step) bool {
		return slices.Contains(step.Done, in) || slices.Contains(step.Failed, in) || slices.Contains(step.Undone, in) || step.stuck(in)
	})
}

// stuck reports whether an input says that the step's compensation does not go through by itself.
func (s Step) stuck(in Input) bool {
	return in == PaymentRefundFailed && slices.Contains(s.Undone, PaymentRefunded)
}

// answers reports whether an input answers a command by itself. Where it is not the awaited answer,
// it is one to a command that was sent before or sent again.
func answers(in Input) bool {
	return slices.ContainsFunc(Effects(), func(command Effect) bool { return in == Unchanged(command) || in == Refused(command) })
}
