package shop

import (
	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/orchestrator/orchestrator"
	"eventshop.example/services/order/order"
	"eventshop.example/services/payment/payment"
	"eventshop.example/services/shipping/shipping"
)

const (
	maxFacts  = 48 // events, commands and answers; a record has bits for 64
	maxLog    = 12 // an order has at most 6 records of one topic that no fault repeats
	maxOrders = 2
)

// World is one state of the shop. It is a value: a copy shares nothing.
type World struct {
	orders uint8
	sagas  [maxOrders]saga

	// The stock of the SKU, in pieces. stock is the number at the start.
	stock, available, reserved, shipped int8

	left Bounds // the faults that can still happen
}

// saga is what the shop holds of one order.
type saga struct {
	style       Style
	definition  uint8          // of an orchestrated order: the version of the steps
	coordinator coordinatorRow // of an orchestrated order

	order     orderRow
	payment   paymentRow
	inventory inventory.State
	shipping  shippingRow
	gateway   gateway
	carrier   carrier

	topics  [topics]topic
	emitted [maxFacts]uint8 // how often each fact was emitted
	again   uint64          // facts whose record was published again, one bit each

	attempts      uint8 // how often the attempts to return money were used up
	contradiction bool  // a table asked for attention for another reason
}

// coordinatorRow is the row of an orchestrated order at the orchestrator.
type coordinatorRow struct {
	state     orchestrator.State
	attention orchestrator.Input // why a person has to look; "": no reason
	retried   bool               // an operator had a command sent again
}

// orderRow is the order without the data that no decision reads. [orderRow.whole] and project
// translate.
type orderRow struct {
	state     order.State
	failure   bool        // a step failed
	requested bool        // its cancellation was requested
	rejected  bool        // the request came too late
	attention order.Input // why a person has to look; "": no reason
	known     uint64      // records that are causes of events in its stream, one bit each
}

// whole returns an order on which decisions can be made.
func (r orderRow) whole() order.Order {
	o := order.Order{ID: "order", State: r.state, Rejected: r.rejected}
	if r.failure {
		o.Failure = &order.Cause{}
	}
	if r.requested {
		o.Cancellation = &order.Cause{}
	}
	if r.attention != "" {
		o.Attention = &order.Cause{Reason: string(r.attention)}
	}
	return o
}

// project sets the row to an order.
func (r *orderRow) project(o order.Order) {
	r.state, r.rejected, r.failure, r.requested, r.attention = o.State, o.Rejected, o.Failure != nil, o.Cancellation != nil, ""
	if o.Attention != nil {
		r.attention = order.Input(o.Attention.Reason)
	}
}

// paymentRow is the payment's row, the charge that waits for its transaction, and the worker.
type paymentRow struct {
	state     payment.State
	attention bool
	charge    payment.Input // the call for the next record: sent, or the gateway's answer, not recorded yet; "": none
	attempt   attempt       // of the worker
}

// attempt is how far an attempt of the worker to return money is.
type attempt uint8

// The attempts. An answer is recorded by the next transaction.
const (
	noAttempt      attempt = iota
	voidConfirmed          // the answer to the void
	voidDeclined           // the same
	voidTooLate            // the same; the refund follows at once
	refundMade             // the answer to the refund
	refundAfter            // the answer to the refund after a void that was too late
	refundAwaiting         // the void was too late, and the refund got no answer
)

// shippingRow is the shipment's row and the calls that wait for their transactions.
type shippingRow struct {
	state      shipping.State
	dispatched bool                   // it has a time of dispatch
	rejected   bool                   // the cancellation request was rejected
	answers    [topics]shipping.Input // the call for the next record of each topic, in the same way
}

// gateway is the card gateway's ledger of one order.
type gateway struct {
	key     string // of the charge: "" not used, or captured, declined, voided
	late    bool   // a charge that its caller has given up can still arrive
	refunds uint8  // that were made
	second  uint8  // captures with another key; a mistake
}

// carrier is the carrier's book of one order.
type carrier struct {
	key            string // "" not used, or scheduled, refused, cancelled, dispatched, delivered
	lateSchedule   bool   // a request that its caller has given up can still arrive
	lateCancel     bool
	updates, taken uint8 // of the feed: all, and those that shipping has taken in
}

// record is a record of a topic: a fact, and which one of its kind. Commands and the answers to them
// are facts in this sense.
type record uint16

const (
	factBits    = 6
	repeatShift = factBits      // two bits: how many records of this fact came before
	copyBit     = record(0x100) // it is published again
)

func (r record) fact() uint8   { return uint8(r & (1<<factBits - 1)) }
func (r record) repeat() uint8 { return uint8(r &^ copyBit >> repeatShift) }
func (r record) isCopy() bool  { return r&copyBit != 0 }

// number identifies the event of a record, as its id does. It is below 64 for the records that the
// order receives.
func (r record) number() uint8 { return 2*r.fact() + min(r.repeat(), 1) }

// topic is the log of one topic for one order, from the first record that a group has
// not acknowledged. Records that no group handles are left out.
type topic struct {
	log     [maxLog]record
	length  uint8
	at      [participants]uint8 // the position of each group: its next record
	handled uint8               // groups that have handled their next record and not acknowledged it, one bit each
}

// next returns the next record of a group.
func (t *topic) next(group int) (record, bool) {
	if t.at[group] >= t.length {
		return 0, false
	}
	return t.log[t.at[group]], true
}

// heard reports whether a group has handled all records of a topic.
func (s *saga) heard(topic, group int) bool {
	_, more := s.topics[topic].next(group)
	return !more
}

// emit adds a fact to its topic.
func (m *Model) emit(w *World, i int, fact string) {
	s, f := &w.sagas[i], m.fact(fact)
	r := record(f) | record(min(s.emitted[f], 3))<<repeatShift
	s.emitted[f] = min(s.emitted[f]+1, 3)
	m.publish(s, r)
}

// publish appends a record that a group handles.
func (m *Model) publish(s *saga, r record) {
	if m.receives[s.style][r.fact()] == 0 {
		return
	}
	t := &s.topics[m.topic[r.fact()]]
	if t.length == maxLog {
		panic("shop: a World has no room for so many records")
	}
	t.log[t.length] = r
	t.length++
	m.trim(s.style, t)
}

// acknowledge moves a group past its next record.
func (m *Model) acknowledge(s *saga, topic, group int) {
	t := &s.topics[topic]
	t.at[group]++
	t.handled &^= 1 << group
	m.trim(s.style, t)
}

// trim moves each group past records that it does not handle, and drops the records that all groups
// have passed. So equal futures have equal logs.
func (m *Model) trim(style Style, t *topic) {
	first := t.length
	for group := range participants {
		for t.at[group] < t.length && m.receives[style][t.log[t.at[group]].fact()]&(1<<group) == 0 {
			t.at[group]++
		}
		first = min(first, t.at[group])
	}
	if first == 0 {
		return
	}
	kept := copy(t.log[:], t.log[first:t.length])
	clear(t.log[kept:])
	t.length -= first
	for group := range t.at {
		t.at[group] -= first
	}
}
