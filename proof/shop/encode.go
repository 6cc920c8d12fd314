package shop

import (
	"bytes"
	"encoding/binary"
	"slices"

	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/orchestrator/orchestrator"
	"eventshop.example/services/order/order"
	"eventshop.example/services/payment/payment"
	"eventshop.example/services/shipping/shipping"
)

// keys are the states of a key at the gateway and at the carrier.
var keys = []string{"", "captured", "declined", "voided", "scheduled", "refused", "cancelled", "dispatched", "delivered"}

// codes are what the encoding of a row numbers: its states and inputs.
var codes = struct {
	orders      []order.State
	attention   []order.Input
	payments    []payment.State
	charges     []payment.Input
	inventories []inventory.State
	shipments   []shipping.State
	answers     []shipping.Input
	sagas       []orchestrator.State
	late        []orchestrator.Input
}{
	order.States(), append([]order.Input{""}, order.Inputs()...),
	payment.States(), append([]payment.Input{"", sent}, payment.Inputs()...),
	inventory.States(), shipping.States(), append([]shipping.Input{"", scheduleSent, cancelSent}, shipping.Inputs()...),
	orchestrator.States(), append([]orchestrator.Input{""}, orchestrator.Inputs()...),
}

// code is the position of a value in its list. A value that a wrong table invented has no position,
// and its encoding is its text.
func code[T ~string](b []byte, list []T, value T) []byte {
	if i := slices.Index(list, value); i >= 0 {
		return append(b, byte(i))
	}
	return append(append(b, 0xff, byte(len(value))), value...)
}

func bits(flags ...bool) byte {
	var b byte
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	return b
}

// encode implements [check.System]. What cannot matter any more is left out: which records an order
// has recorded, when no record can come again. Two orders want the same, so which of them is the
// first does not matter either: the smaller encoding comes first.
func encode(b []byte, w World) []byte {
	l := w.left
	b = append(b, w.orders, byte(w.stock), byte(w.available), byte(w.reserved), byte(w.shipped),
		l.Crashes, l.Duplicates, l.Forgotten, l.Lost, l.Spent, l.Late, l.Retries)
	begin := len(b)
	for i := range w.orders {
		second := len(b)
		b = encodeSaga(b, &w.sagas[i], l)
		if i > 0 && bytes.Compare(b[second:], b[begin:second]) < 0 {
			first := bytes.Clone(b[begin:second])
			copy(b[begin+copy(b[begin:], b[second:]):], first)
		}
	}
	return b
}

func encodeSaga(b []byte, s *saga, left Bounds) []byte {
	b = append(b, byte(s.style))
	if s.style == Orchestrated {
		b = append(b, s.definition)
		b = code(b, codes.sagas, s.coordinator.state)
		b = code(b, codes.late, s.coordinator.attention)
	}
	b = code(b, codes.orders, s.order.state)
	b = code(b, codes.attention, s.order.attention)
	b = code(b, codes.payments, s.payment.state)
	b = code(b, codes.charges, s.payment.charge)
	b = code(b, codes.inventories, s.inventory)
	b = code(b, codes.shipments, s.shipping.state)
	for _, answer := range s.shipping.answers {
		b = code(b, codes.answers, answer)
	}
	b = code(b, keys, s.gateway.key)
	b = code(b, keys, s.carrier.key)
	b = append(b, bits(s.order.failure, s.order.requested, s.order.rejected, s.payment.attention, s.shipping.dispatched, s.shipping.rejected),
		bits(s.gateway.late, s.carrier.lateSchedule, s.carrier.lateCancel, s.contradiction, s.coordinator.retried),
		byte(s.payment.attempt), s.attempts, s.gateway.refunds, s.gateway.second, s.carrier.updates, s.carrier.taken)
	for i := range s.topics {
		t := &s.topics[i]
		b = append(b, t.length)
		if t.length == 0 {
			continue
		}
		b = append(append(b, t.handled), t.at[:]...)
		for _, r := range t.log[:t.length] {
			b = append(b, byte(r), byte(r>>8))
		}
	}
	for i := 0; i < maxFacts; i += 4 {
		e := s.emitted[i : i+4]
		b = append(b, e[0]|e[1]<<2|e[2]<<4|e[3]<<6)
	}
	if left.Duplicates > 0 {
		b = binary.LittleEndian.AppendUint64(b, s.again)
	}
	if left.Forgotten > 0 {
		b = binary.LittleEndian.AppendUint64(b, s.order.known)
	}
	return b
}
