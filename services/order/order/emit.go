package order

// Decide returns the decision of the total table ([Decide]), together with the domain events that
// record it. It refines the decision with data that the state does not show. It changes nothing;
// applying the events does. A message that is repeated after its events were applied produces no
// events.
func (o Order) Decide(m Message) Decision {
	d := Decide(o.State, m.Input)
	switch d.Effect {
	case Confirm:
		d.Emit = []Event{OrderConfirmed{m.TrackingID}}
	case Ship:
		d.Emit = o.shipped(m.TrackingID)
	case Deliver:
		if o.State != Shipped {
			d.Emit = o.shipped("")
		}
		d.Emit = append(d.Emit, OrderDelivered{m.DeliveredAt})
	case BeginCancellation:
		requested := OrderCancellationRequested{ByCustomer, OnRequest, m.Detail}
		if m.Input == PassDeadline {
			requested = OrderCancellationRequested{BySystem, OnDeadline, m.Detail}
		}
		d.Emit = []Event{requested}
	case RejectCancellation:
		switch {
		case o.Cancellation == nil:
			return Decision{Action: Refuse} // no cancellation was requested
		case o.Rejected:
			return Decision{Action: Duplicate}
		}
		d.Emit = []Event{OrderCancellationRejected{m.Reason}}
	case NoteFailure:
		if o.Failure != nil {
			return Decision{Action: Duplicate}
		}
		d.Emit = []Event{OrderFulfilmentFailed{failureReason(m.Input), detail(m)}}
	case Cancel:
		d.Emit = []Event{OrderCancelled(o.whyCancelled(m))}
	case RaiseAttention:
		if o.Attention != nil {
			return Decision{Action: Duplicate}
		}
		d.Emit = []Event{OrderNeedsAttention{string(m.Input), detail(m)}}
	}
	return d
}

// shipped returns the events of a dispatch. In the state Pending they include the confirmation: the
// carrier dispatches only what was scheduled, so the event ShipmentScheduled is missing.
func (o Order) shipped(trackingID string) []Event {
	if trackingID == "" {
		trackingID = o.TrackingID
	}
	if o.State == Pending {
		return []Event{OrderConfirmed{trackingID}, OrderShipped{trackingID}}
	}
	return []Event{OrderShipped{trackingID}}
}

// whyCancelled returns the cause of a cancellation. It prefers the order's own cancellation
// request, then the recorded failure, then the reason of the returned money. Payment publishes the
// failure's reason with the refund, so the result does not depend on which topic is read first.
func (o Order) whyCancelled(m Message) Cause {
	switch {
	case o.Cancellation != nil:
		return *o.Cancellation
	case m.Input == PaymentFailed:
		return Cause{ReasonPaymentFailed, detail(m)}
	case o.Failure != nil:
		return *o.Failure
	}
	if m.Input == CancelOrder && m.Reason == reasonUnknownSKU {
		return Cause{ReasonOutOfStock, detail(m)}
	}
	switch m.Reason {
	case ReasonCustomer, ReasonDeadline, ReasonPaymentFailed, ReasonOutOfStock, ReasonShipmentFailed:
		return Cause{m.Reason, m.Detail}
	}
	return Cause{ReasonMoneyReturned, detail(m)}
}

// reasonUnknownSKU is a reason of CancelOrder. Orders have no word of their own for it.
const reasonUnknownSKU = "unknown_sku"

func failureReason(in Input) string {
	if in == InventoryReservationFailed {
		return ReasonOutOfStock
	}
	return ReasonShipmentFailed
}

// detail joins the code and the text of a participant for human readers.
func detail(m Message) string {
	switch {
	case m.Reason == "":
		return m.Detail
	case m.Detail == "":
		return m.Reason
	}
	return m.Reason + ": " + m.Detail
}
