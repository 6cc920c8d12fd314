package shop

// Move is what happens in one step.
type Move struct {
	kind   kind
	order  uint8 // from 0
	topic  uint8
	group  uint8
	record record
}

func (mv Move) as(k kind) Move {
	mv.kind = k
	return mv
}

// kind is the kind of a move.
type kind uint8

const (
	// The customer and the clock.
	cancels kind = iota
	deadline

	// A group and its next record.
	handles
	recognises
	handlesAgain
	triesAgain
	crashesBefore
	crashesAfter
	publishesAgain

	// Calls that come before the transaction of a record.
	charges
	isCharged
	books
	isBooked
	callsOff
	isCalledOff
	lostAnswer
	givesUpCall

	// The worker that returns money, and operators.
	voids
	refunds
	lostVoid
	lostRefund
	recordsReturn
	crashesReturning
	givesUp
	operatorRetries

	// The orchestrator's clock, and operators.
	passesDue
	retriesCommand

	// The outside.
	lateChargeArrives
	lateScheduleArrives
	lateCancelArrives
	parcelMoves
	feedAgain
	feedLine // the last one
)
