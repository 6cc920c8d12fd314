package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"eventshop.example/ops/jsonhttp"
)

// Scenario is one path through the saga.
type Scenario struct {
	Name     string
	Expected string        // the expected end
	takes    time.Duration // approximate, on a small machine, without a breaker's pause
	// run plays it and returns how it ended. An error means that a step was not possible at all.
	run func(ctx context.Context, s *shop, customer string) (got string, err error)
}

// Prices are chosen so that totals show their pence.
const (
	widget  = "WIDGET-01"
	gadget  = "GADGET-05"
	soldOut = "UNICORN-00" // one is in stock, unless more was added
)

// All returns the scenarios, in the order in which they are played.
func All() []Scenario {
	return []Scenario{
		{"happy path", "DELIVERED, paid 99.99", 5 * time.Second, happy},
		{"a draft edited by two people", "second editor 412, then 2 items, placed without an address 409, CONFIRMED, paid 70.00", 1 * time.Second, twoEditors},
		{"card declined", "CANCELLED (payment_failed), paid 0.00", 1 * time.Second, declined},
		{"out of stock, refunded", "CANCELLED (out_of_stock), paid 0.00, 1 refund", 1 * time.Second, outOfStock},
		{"carrier refuses: release and refund", "CANCELLED (shipment_failed), paid 0.00, 1 refund, stock RELEASED", 1 * time.Second, carrierRefuses},
		{"customer cancels before dispatch", "CANCELLED (customer), paid 0.00, 1 refund, shipment CANCELLED", 1 * time.Second, cancelsInTime},
		{"cancel after dispatch is rejected", "SHIPPED, then 409, DELIVERED, paid 29.99", 5 * time.Second, cancelsTooLate},
		{"deadline passes, gateway down", "CANCELLED (deadline), paid 0.00", 2 * time.Second, deadlinePasses},
		{"one order of each style of the saga", "orchestrated CONFIRMED by 4 commands, choreographed CONFIRMED by none, paid 59.98", 2 * time.Second, bothStyles},
		{"gateway's answers lost", "CONFIRMED, 1 capture, paid 29.99", 1 * time.Second, answersLost},
		{"an order as it was", "PENDING a microsecond before, CONFIRMED at it", 1 * time.Second, asItWas},
		{"reads that wait for what was written", "5 of 5 reads saw what was written", 1 * time.Second, readsItsOwn},
		{"a read model rebuilt under load, and switched", "0 differences, live with SKUs, switched back, 0 failed reads or orders", 4 * time.Second, rebuilds},
		{"flaky handler: retried, in order", "DELIVERED, retried in order, others went on, 0 dead letters", 5 * time.Second, flakyHandler},
		{"poison record: dead letters, repaired, resubmitted", "5 dead letters, DELIVERED, 1 capture, paid 29.99, resubmitted again without effect", 2 * time.Second, poisonRecord},
		{"gateway down: breaker opens, queue drains after", "breaker open, 0 calls meanwhile, 10 of 10 CONFIRMED, 10 paid once", 3 * time.Second, gatewayDown},
	}
}

func happy(ctx context.Context, s *shop, customer string) (string, error) {
	remove, err := s.parcelTimes(ctx, customer)
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // the rule names this scenario's customer only
	id, err := s.place(ctx, customer, 0, line{widget, 2, 2999}, line{gadget, 1, 4001})
	if err != nil {
		return "", err
	}
	status, err := s.await(ctx, id, "DELIVERED", "CANCELLED")
	if err != nil {
		return status, err
	}
	b, err := s.books(ctx, id)
	return fmt.Sprintf("%s, paid %s", status, pounds(b.net())), err
}

func declined(ctx context.Context, s *shop, customer string) (string, error) {
	remove, err := s.fault(ctx, s.Gateway, map[string]any{
		"match": match(customer, "charge"), "decline": "insufficient_funds",
	})
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // the rule names this scenario's customer only
	id, err := s.place(ctx, customer, 0, line{widget, 1, 2999})
	if err != nil {
		return "", err
	}
	return s.cancelled(ctx, id)
}

func outOfStock(ctx context.Context, s *shop, customer string) (string, error) {
	some, err := s.available(ctx, soldOut)
	if err != nil {
		return "", err
	}
	id, err := s.place(ctx, customer, 0, line{widget, 1, 2999}, line{soldOut, some + 1000, 100})
	if err != nil {
		return "", err
	}
	got, err := s.cancelled(ctx, id)
	return s.withRefunds(ctx, id, got, err)
}

func carrierRefuses(ctx context.Context, s *shop, customer string) (string, error) {
	remove, err := s.fault(ctx, s.Carrier, map[string]any{
		"match": match(customer, "schedule"), "refuse": "address_not_served",
	})
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // the rule names this scenario's customer only
	id, err := s.place(ctx, customer, 0, line{widget, 3, 2999})
	if err != nil {
		return "", err
	}
	got, err := s.cancelled(ctx, id)
	got, err = s.withRefunds(ctx, id, got, err)
	if err != nil {
		return got, err
	}
	// The release and the refund are independent; the order waits for the refund.
	var state string
	err = eventually(ctx, "stock released", func() (bool, error) {
		state, err = s.state(ctx, s.Inventory+"/reservations/"+id)
		return state == "RELEASED", err
	})
	return got + ", stock " + state, err
}

func cancelsInTime(ctx context.Context, s *shop, customer string) (string, error) {
	remove, err := s.fault(ctx, s.Carrier, map[string]any{
		"match": match(customer, "schedule"), "dispatchAfterMs": int(time.Hour.Milliseconds()),
	})
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // the rule names this scenario's customer only
	id, err := s.place(ctx, customer, 0, line{gadget, 1, 4001})
	if err != nil {
		return "", err
	}
	if _, err := s.await(ctx, id, "CONFIRMED", "CANCELLED"); err != nil {
		return "", err
	}
	s.say("customer cancels")
	if err := s.cancel(ctx, id); err != nil {
		return "", err
	}
	got, err := s.cancelled(ctx, id)
	got, err = s.withRefunds(ctx, id, got, err)
	if err != nil {
		return got, err
	}
	state, err := s.state(ctx, s.Shipping+"/shipments/"+id)
	return got + ", shipment " + state, err
}

func cancelsTooLate(ctx context.Context, s *shop, customer string) (string, error) {
	// The carrier's updates are blocked, so the parcel leaves before shipping receives the update:
	// the carrier then refuses the cancellation.
	remove, err := s.fault(ctx, s.Carrier, map[string]any{
		"match": map[string]any{"operation": "updates"}, "status": http.StatusServiceUnavailable,
	})
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // removed below on every good road
	usual, err := s.parcelTimes(ctx, customer)
	if err != nil {
		return "", err
	}
	defer usual() //nolint:errcheck // the rule names this scenario's customer only
	id, err := s.place(ctx, customer, 0, line{widget, 1, 2999})
	if err != nil {
		return "", err
	}
	if _, err := s.await(ctx, id, "CONFIRMED", "CANCELLED"); err != nil {
		return "", err
	}
	if err := eventually(ctx, "carrier dispatches", func() (bool, error) {
		state, err := s.state(ctx, s.Carrier+"/v1/shipments/shipment-"+id)
		return state == "dispatched" || state == "delivered", err
	}); err != nil {
		return "", err
	}
	s.say("the parcel has left, and no service knows yet; the customer cancels")
	if err := s.cancel(ctx, id); err != nil {
		return "", err
	}
	status, err := s.await(ctx, id, "SHIPPED", "DELIVERED", "CANCELLED")
	if err != nil {
		return status, err
	}
	got := status
	s.say("customer tries again")
	if err := s.cancel(ctx, id); jsonhttp.StatusOf(err) != 0 {
		got += fmt.Sprintf(", then %d", jsonhttp.StatusOf(err))
	} else if err != nil {
		return got, err
	}
	if err := remove(); err != nil {
		return got, err
	}
	status, err = s.await(ctx, id, "DELIVERED", "CANCELLED")
	if err != nil {
		return got, err
	}
	b, err := s.books(ctx, id)
	return fmt.Sprintf("%s, %s, paid %s", got, status, pounds(b.net())), err
}

func deadlinePasses(ctx context.Context, s *shop, customer string) (string, error) {
	// Down for every caller: neither a charge nor a void gets through.
	remove, err := s.fault(ctx, s.Gateway, map[string]any{"down": true})
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // removed below on every good road
	id, err := s.place(ctx, customer, time.Second, line{widget, 1, 2999})
	if err != nil {
		return "", err
	}
	if _, err := s.await(ctx, id, "CANCELLING", "CANCELLED"); err != nil {
		return "", err
	}
	s.say("the deadline has passed; the gateway comes back")
	if err := remove(); err != nil {
		return "", err
	}
	return s.cancelled(ctx, id)
}

func answersLost(ctx context.Context, s *shop, customer string) (string, error) {
	remove, err := s.fault(ctx, s.Gateway, map[string]any{
		"match": match(customer, "charge"), "answerLost": true, "times": 2,
	})
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // the rule names this scenario's customer only
	id, err := s.place(ctx, customer, 0, line{widget, 1, 2999})
	if err != nil {
		return "", err
	}
	status, err := s.await(ctx, id, "CONFIRMED", "CANCELLED")
	if err != nil {
		return status, err
	}
	b, err := s.books(ctx, id)
	return fmt.Sprintf("%s, %d capture, paid %s", status, b.captures, pounds(b.net())), err
}

func match(customer, operation string) map[string]any {
	m := map[string]any{"customerId": customer}
	if operation != "" {
		m["operation"] = operation
	}
	return m
}

// cancelled waits for the order's end and describes it with reason and money.
func (s *shop) cancelled(ctx context.Context, id string) (string, error) {
	status, err := s.await(ctx, id, "CANCELLED", "DELIVERED")
	if err != nil {
		return status, err
	}
	var o struct {
		Cancellation *struct {
			Reason string `json:"reason"`
		} `json:"cancellation"`
	}
	if err := eventually(ctx, "cancellation in the read model", func() (bool, error) {
		err := s.call(ctx, http.MethodGet, s.Projection+"/orders/"+id, nil, &o)
		return o.Cancellation != nil, err
	}); err != nil {
		return status, err
	}
	b, err := s.books(ctx, id)
	return fmt.Sprintf("%s (%s), paid %s", status, o.Cancellation.Reason, pounds(b.net())), err
}

func (s *shop) withRefunds(ctx context.Context, id, got string, err error) (string, error) {
	if err != nil {
		return got, err
	}
	b, err := s.books(ctx, id)
	noun := "refunds"
	if b.refunds == 1 {
		noun = "refund"
	}
	return strings.TrimSpace(fmt.Sprintf("%s, %d %s", got, b.refunds, noun)), err
}
