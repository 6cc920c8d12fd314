package saga

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// still is how long an order must be unchanged before the package asks whether its money waits at
// the gateway. An order that moved more recently is being processed and needs no explanation.
const still = 2 * time.Second

// Complete fills in what blocks an order whose order-service fields are set. unanswered lists the
// services that could not be asked, with the question.
func (s *Shop) Complete(ctx context.Context, saga *Saga) (unanswered []error) {
	h := s.holds(ctx, saga.OrderID)
	var bad failures
	bad.add(h.failed...)
	s.complete(ctx, saga, h, &bad)
	return bad.list()
}

// complete adds the holds of the saga.
func (s *Shop) complete(ctx context.Context, saga *Saga, h holds, bad *failures) {
	now := s.now()
	waits := saga.Status == pending || saga.Status == cancelling // the saga waits for the other services' answers, until the deadline
	saga.Overdue = waits && now.After(saga.ConfirmBy) && now.Sub(saga.UpdatedAt) > grace
	saga.Holds = append([]Hold{}, h.byOrder[saga.OrderID]...)

	slow := waits && now.Sub(saga.UpdatedAt) > still
	gateway, carrier := slices.Clone(h.breakers["payment"]), slices.Clone(h.breakers["shipping"])
	booking := carrier
	if slow {
		gateway = append(gateway, h.failing["payment"]...)
		booking = append(carrier, h.failing["shipping"]...)
	}
	state := ""
	held := saga.NeedsAttention || saga.Overdue || len(saga.Holds) > 0 || waits && len(gateway)+len(carrier) > 0
	if held || slow {
		var p payment
		if _, err := get(ctx, s.payment, "/payments/", saga.OrderID, &p); err != nil {
			bad.add(fmt.Errorf("payment cannot be asked: %w", err))
			return
		}
		state = p.Status
		if held && p.Attention != "" && p.Status != "REFUND_FAILED" {
			saga.Holds = append(saga.Holds, Hold{Kind: Asks, Group: "payment", Type: p.Status, Detail: p.Attention})
		}
		if held {
			s.participantHolds(ctx, saga, bad)
		}
		// The order service learns of a failed refund by event and asks for attention.
		if hold, any := p.hold(); any && (held || hold.Kind == Returning) {
			saga.RefundFailed = hold.Kind == RefundFailed
			saga.Holds = append(saga.Holds, hold)
			gateway = h.breakers["payment"] // the breakers report failing calls
		}
	}
	switch {
	case saga.Status == confirmed || saga.Status == shipped:
		saga.Holds = append(saga.Holds, carrier...) // the carrier has not reported on the parcel
	case !waits:
	case state == "" || state == "NONE" || state == voiding || state == refunding:
		saga.Holds = append(saga.Holds, gateway...)
	case state == "COMPLETED" && len(booking) > 0:
		if saga.Status == cancelling || s.reserved(ctx, saga.OrderID, bad) {
			saga.Holds = append(saga.Holds, booking...)
		}
	}
}

// States of a payment whose money is being returned.
const (
	voiding   = "VOIDING"
	refunding = "REFUNDING"
)

// payment is the payment service's view of an order's money.
type payment struct {
	Status, LastError, Attention string
	Attempts                     int
	NextAttemptAt                *time.Time
}

// hold returns what the return of the money waits for. A payment whose first attempt is under way
// has no hold.
func (p payment) hold() (h Hold, any bool) {
	switch {
	case p.Status == "REFUND_FAILED":
		return Hold{Kind: RefundFailed, Group: "payment", Detail: p.LastError, Attempts: p.Attempts}, true
	case (p.Status == voiding || p.Status == refunding) && (p.Attempts > 0 || p.LastError != ""):
		return Hold{Kind: Returning, Group: "payment", Type: p.Status, Detail: p.LastError, Attempts: p.Attempts, Next: p.NextAttemptAt}, true
	}
	return Hold{}, false
}
