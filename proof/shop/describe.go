package shop

import (
	"cmp"
	"fmt"
	"strings"

	"eventshop.example/proof/check"
	"eventshop.example/proof/diagram"
)

// Columns returns the participants of a run and the outside, as a [diagram.Line] numbers them. The
// orchestrator is among them if an order has need of it.
func Columns(run check.Path[World, Move]) []string {
	columns := []string{"customer", "order", "payment", "gateway", "inventory", "shipping", "carrier"}
	for _, s := range run.Start.sagas[:run.Start.orders] {
		if s.style == Orchestrated {
			return append(columns, "orchestrator")
		}
	}
	return columns
}

const (
	customerColumn = iota
	orderColumn
	paymentColumn
	gatewayColumn
	inventoryColumn
	shippingColumn
	carrierColumn
	coordinatorColumn
)

// columnOf has the column of each participant.
var columnOf = [participants]int{orderColumn, paymentColumn, inventoryColumn, shippingColumn, coordinatorColumn}

// senderOf returns the column of the participant that writes to a topic.
func senderOf(topic uint8) int {
	if topic >= services {
		return coordinatorColumn
	}
	return columnOf[topic]
}

// Lines returns a run in words.
func (m *Model) Lines(run check.Path[World, Move]) []diagram.Line {
	lines := make([]diagram.Line, len(run.Steps))
	before := run.Start
	for n, s := range run.Steps {
		lines[n] = m.line(before, s.Move, s.To)
		before = s.To
	}
	return lines
}

func (m *Model) line(before World, mv Move, after World) diagram.Line {
	l := m.text(mv)
	if before.orders > 1 {
		l.Text = fmt.Sprintf("order %d: %s", mv.order+1, l.Text)
	}
	l.Effect = strings.Join(m.changes(before, after, int(mv.order)), ", ")
	return l
}

// requests names the calls before transactions.
var requests = map[kind]string{
	charges: "charge", isCharged: "charge", books: "schedule", isBooked: "schedule", callsOff: "cancel", isCalledOff: "cancel",
}

// text names a move. Its columns follow from its kind.
func (m *Model) text(mv Move) diagram.Line {
	from, to, fact := senderOf(mv.topic), columnOf[mv.group], m.facts[mv.record.fact()]
	outside := map[int]int{paymentColumn: gatewayColumn, shippingColumn: carrierColumn}[to]
	about := map[int]string{paymentColumn: "charge", shippingColumn: "request"}[to]
	switch mv.kind {
	case cancels:
		return diagram.Line{From: customerColumn, To: orderColumn, Text: "cancels"}
	case deadline:
		return diagram.Line{From: orderColumn, To: orderColumn, Text: "the deadline passes"}
	case handles:
		return diagram.Line{From: from, To: to, Text: fact}
	case recognises:
		return diagram.Line{From: from, To: to, Text: fact + " again: the inbox knows it"}
	case handlesAgain:
		return diagram.Line{From: from, To: to, Text: fact + " again: the inbox does not know it", Fault: true}
	case triesAgain:
		return diagram.Line{From: to, To: to, Text: fact + ": the row has changed since the call; tries again"}
	case crashesBefore:
		return diagram.Line{From: to, To: to, Text: "crashes before it records the answer for " + fact, Fault: true}
	case crashesAfter:
		return diagram.Line{From: from, To: to, Text: fact + ": crashes after the transaction, before the offset", Fault: true}
	case publishesAgain:
		return diagram.Line{From: from, To: from, Text: "publishes " + fact + " again", Fault: true}
	case charges, books, callsOff:
		return diagram.Line{From: to, To: to, Text: "sends " + requests[mv.kind] + ", for " + fact}
	case isCharged, isBooked, isCalledOff:
		return diagram.Line{From: to, To: outside, Text: requests[mv.kind] + ", for " + fact}
	case lostAnswer:
		return diagram.Line{From: to, To: outside, Text: about + ", for " + fact + ": the answer gets lost", Fault: true}
	case givesUpCall:
		return diagram.Line{From: to, To: to, Text: "gives up on a " + about + " that is under way, for " + fact, Fault: true}
	}
	return outsideText(mv.kind)
}

// outsideText names the moves of the worker that returns money and of the outside.
func outsideText(k kind) diagram.Line {
	return map[kind]diagram.Line{
		voids:               {From: paymentColumn, To: gatewayColumn, Text: "void"},
		refunds:             {From: paymentColumn, To: gatewayColumn, Text: "refund"},
		lostVoid:            {From: paymentColumn, To: gatewayColumn, Text: "void: the answer gets lost", Fault: true},
		lostRefund:          {From: paymentColumn, To: gatewayColumn, Text: "refund: the answer gets lost", Fault: true},
		recordsReturn:       {From: gatewayColumn, To: paymentColumn, Text: "records the answer"},
		crashesReturning:    {From: paymentColumn, To: paymentColumn, Text: "crashes before it records the answer", Fault: true},
		givesUp:             {From: paymentColumn, To: paymentColumn, Text: "the attempts are used up", Fault: true},
		operatorRetries:     {From: customerColumn, To: paymentColumn, Text: "an operator starts new attempts"},
		passesDue:           {From: coordinatorColumn, To: coordinatorColumn, Text: "the time limit passes", Fault: true},
		retriesCommand:      {From: customerColumn, To: coordinatorColumn, Text: "an operator has the command sent again"},
		lateChargeArrives:   {From: paymentColumn, To: gatewayColumn, Text: "a late charge arrives"},
		lateScheduleArrives: {From: shippingColumn, To: carrierColumn, Text: "a late schedule arrives"},
		lateCancelArrives:   {From: shippingColumn, To: carrierColumn, Text: "a late cancel arrives"},
		parcelMoves:         {From: carrierColumn, To: carrierColumn, Text: "the parcel moves"},
		feedAgain:           {From: shippingColumn, To: shippingColumn, Text: "an operator sets the feed's cursor back by a line", Fault: true},
		feedLine:            {From: carrierColumn, To: shippingColumn, Text: "tracking update"},
	}[k]
}

// changes lists what a step changed.
func (m *Model) changes(before, after World, i int) []string {
	a, b := &before.sagas[i], &after.sagas[i]
	var out []string
	add := func(what, from, to string) {
		if from != to {
			out = append(out, fmt.Sprintf("%s %s → %s", what, cmp.Or(from, "none"), cmp.Or(to, "none")))
		}
	}
	add("saga", string(a.coordinator.state), string(b.coordinator.state))
	add("order", string(a.order.state), string(b.order.state))
	add("payment", string(a.payment.state), string(b.payment.state))
	add("reservation", string(a.inventory), string(b.inventory))
	add("shipment", string(a.shipping.state), string(b.shipping.state))
	add("gateway", a.gateway.key, b.gateway.key)
	add("refunds", fmt.Sprint(a.gateway.refunds), fmt.Sprint(b.gateway.refunds))
	add("parcel", a.carrier.key, b.carrier.key)
	add("available", fmt.Sprint(before.available), fmt.Sprint(after.available))
	if b.order.attention != "" {
		add("attention", string(a.order.attention), string(b.order.attention))
	}
	if b.coordinator.attention != "" {
		add("attention of the saga", string(a.coordinator.attention), string(b.coordinator.attention))
	}
	for f, n := range b.emitted {
		switch {
		case n <= a.emitted[f]:
		case m.commands&(1<<f) != 0:
			out = append(out, "sends "+m.facts[f])
		default:
			out = append(out, "emits "+m.facts[f])
		}
	}
	return out
}
