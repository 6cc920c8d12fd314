package app_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox/outboxtest"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// orchestrated returns a record of the orchestrated style.
func orchestrated[T event.Event](e consumer.Event[T]) consumer.Event[T] {
	e.Style = event.Orchestrated
	return e
}

func chargeCommand(orderID string) consumer.Event[events.ChargePayment] {
	return orchestrated(delivered(events.ChargePayment{OrderID: orderID, CustomerID: "cust-7", Amount: total, Currency: "GBP"}))
}

func refundCommand(orderID, reason string) consumer.Event[events.RefundPayment] {
	return orchestrated(delivered(events.RefundPayment{OrderID: orderID, Reason: reason}))
}

func (f *fixture) chargePayment() asking[events.ChargePayment] {
	return asking[events.ChargePayment]{f.app.ChargeOnChargePayment, app.OnChargePayment}
}

// command delivers a ChargePayment that must succeed.
func (f *fixture) command(e consumer.Event[events.ChargePayment]) {
	f.t.Helper()
	if err := deliver(f, f.chargePayment(), e); err != nil {
		f.t.Fatalf("ChargePayment: %v", err)
	}
}

// charged returns an orchestrated order whose payment is COMPLETED.
func (f *fixture) charged() string {
	f.t.Helper()
	id := newOrder()
	f.command(chargeCommand(id))
	f.expectState(id, payment.Completed)
	return id
}

// published is an event of the outbox.
type published = outboxtest.Row

func (f *fixture) published(orderID string) []published {
	f.t.Helper()
	return outboxtest.Rows(f.t, f.pool, orderID)
}

func (f *fixture) expectPublished(orderID string, want ...published) {
	f.t.Helper()
	if diff := cmp.Diff(append([]published{}, want...), f.published(orderID)); diff != "" {
		f.t.Errorf("published (-want +got):\n%s", diff)
	}
}

// calls counts all requests to the gateway.
func (f *fixture) calls() (n int) {
	for _, operation := range []string{gatewaytest.Charge, gatewaytest.Lookup, gatewaytest.Void, gatewaytest.Refund} {
		n += f.gateway.Calls(operation)
	}
	return n
}

// in stores the payment of an orchestrated order in a state, as steps before would have left it.
func (f *fixture) in(state payment.State) (orderID string) {
	f.t.Helper()
	orderID = newOrder()
	if state == payment.None {
		return orderID
	}
	_, err := f.pool.Exec(context.Background(), `INSERT INTO payments
		(order_id, state, version, amount, currency, charge_id, correlation_id, saga_style, causation_id, next_attempt_at, created_at, updated_at)
		VALUES ($1, $2, 1, $3, 'GBP', 'ch-1', 'correlation-' || $1, 'orchestrated', 'before', $4, $5, $5)`,
		orderID, state, total, map[bool]any{true: f.time()}[state.Returning()], f.time())
	if err != nil {
		f.t.Fatal(err)
	}
	return orderID
}

// TestCommandsInEveryState: a command is answered by the event of its step, by an answer that names the
// state, or later by the worker. The answer has the next version, the style, and the command as its
// cause. Only a charge whose result is unknown calls the gateway.
func TestCommandsInEveryState(t *testing.T) {
	t.Parallel()
	for state, want := range map[payment.State]struct {
		charge string // the event that ChargePayment leads to
		refund string // the event that RefundPayment leads to at once
		next   payment.State
	}{
		payment.None:         {"PaymentCompleted@1", "", payment.Voiding},
		payment.Completed:    {"unchanged@2", "", payment.Refunding},
		payment.Failed:       {"refused@2", "unchanged@2", payment.Failed},
		payment.Voiding:      {"refused@2", "", payment.Voiding},
		payment.Voided:       {"refused@2", "unchanged@2", payment.Voided},
		payment.Refunding:    {"refused@2", "", payment.Refunding},
		payment.Refunded:     {"refused@2", "unchanged@2", payment.Refunded},
		payment.RefundFailed: {"refused@2", "", payment.Refunding},
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			f := newEventsFixture(t)
			asked, undone := f.in(state), f.in(state)

			charge := chargeCommand(asked)
			f.command(charge)
			next, calls := state, 0
			if state == payment.None {
				next, calls = payment.Completed, 1
			}
			f.expectState(asked, next)
			if n := f.calls(); n != calls {
				t.Errorf("ChargePayment asked the gateway %d times", n)
			}
			f.expectAnswer(asked, want.charge, "ChargePayment", state, charge.ID.String())

			refund := refundCommand(undone, "deadline")
			mustReceive(f.fixture, app.OnRefundPayment, refund)
			f.expectState(undone, want.next)
			if n := f.calls(); n != calls {
				t.Errorf("RefundPayment asked the gateway %d times", n-calls)
			}
			f.expectAnswer(undone, want.refund, "RefundPayment", state, refund.ID.String())
		})
	}
}

// expectAnswer compares the only event of an order with want: "" stands for none, "outcome@version" for
// the answer to a command, and anything else for the event itself.
func (f eventsFixture) expectAnswer(orderID, want, command string, state payment.State, cause string) {
	f.t.Helper()
	var outcome string
	var version int
	if n, _ := fmt.Sscanf(want, "unchanged@%d", &version); n == 1 {
		outcome = "unchanged"
	} else if n, _ := fmt.Sscanf(want, "refused@%d", &version); n == 1 {
		outcome = "refused"
	}
	switch {
	case want == "":
		f.expectPublished(orderID)
	case outcome == "":
		f.expectPublished(orderID, published{Event: want, Style: "orchestrated", Cause: cause})
	default:
		f.expectPublished(orderID, published{Event: fmt.Sprintf("PaymentCommandAnswered@%d", version), Style: "orchestrated", Cause: cause})
		f.expectEvents(orderID, &events.PaymentCommandAnswered{
			OrderID: orderID, Command: command, Outcome: outcome, State: string(state), OccurredAt: f.time(),
		})
		if row := f.get(orderID); row.Version != int64(version) {
			f.t.Errorf("the payment has version %d, want %d", row.Version, version)
		}
	}
}

// TestAChargeThatAnOperatorStoppedIsRefused: the key was voided at the gateway by hand. No money is held
// and the state stays, but the orchestrator gets its answer.
func TestAChargeThatAnOperatorStoppedIsRefused(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := newOrder()
	void := gateway.VoidRequest{OrderID: id, CustomerID: "cust-7", Reason: "by hand"}
	if _, err := gateway.New(f.gateway.URL, backoffBase, patient()).Void(context.Background(), app.ChargeKey(id), void); err != nil {
		t.Fatal(err)
	}
	e := chargeCommand(id)
	f.command(e)
	f.expectAnswer(id, "refused@1", "ChargePayment", payment.None, e.ID.String())
}

// TestARefundBeforeItsChargeLeavesATombstone: the late charge is refused without a call.
func TestARefundBeforeItsChargeLeavesATombstone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.work(f.app)
	id := newOrder()
	refund, charge := refundCommand(id, "customer"), chargeCommand(id)
	mustReceive(f, app.OnRefundPayment, refund)
	f.await(id, payment.Voided)
	f.command(charge)
	f.expectState(id, payment.Voided)
	f.expectPublished(id, published{Event: "PaymentVoided@1", Style: "orchestrated", Cause: refund.ID.String()},
		published{Event: "PaymentCommandAnswered@2", Style: "orchestrated", Cause: charge.ID.String()})
	if n := f.gateway.Calls(gatewaytest.Charge); n != 0 {
		t.Errorf("%d charges", n)
	}
}

// TestARefundCommandStartsAnotherRound: the attempts of the first round are used up, and an operator has
// the orchestrator send the command again.
func TestARefundCommandStartsAnotherRound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.charged()
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: 503})
	f.work(f.app)
	first, again := refundCommand(id, "out_of_stock"), refundCommand(id, "out_of_stock")
	mustReceive(f, app.OnRefundPayment, first)
	for n := int32(1); n < maxAttempts; n++ {
		f.awaitAttempts(id, n)
		f.advance(backoffMax)
	}
	f.await(id, payment.RefundFailed)
	f.gateway.Mend()
	mustReceive(f, app.OnRefundPayment, again)
	f.await(id, payment.Refunded)
	if p := f.get(id); p.Attempts != 1 || p.Attention != "" || p.Reason != "out_of_stock" {
		t.Errorf("row %+v", p)
	}
	got := f.published(id)
	if len(got) != 3 {
		t.Fatalf("published %v", got)
	}
	f.expectPublished(id, got[0], published{Event: "PaymentRefundFailed@2", Style: "orchestrated", Cause: first.ID.String()},
		published{Event: "PaymentRefunded@3", Style: "orchestrated", Cause: again.ID.String()})
	f.expectLedger(id, capture, "refund refund-%s 9999 out_of_stock")
}

// TestTheReasonsOfACommandAreThoseOfTheEvents: both styles give customers the same reasons.
func TestTheReasonsOfACommandAreThoseOfTheEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for reason, want := range map[string]string{
		"out_of_stock": "out_of_stock", "unknown_sku": "out_of_stock", "shipment_failed": "shipment_failed",
		"customer": "customer", "deadline": "deadline", "payment_failed": "payment_failed",
	} {
		id := newOrder()
		mustReceive(f, app.OnRefundPayment, refundCommand(id, reason))
		if got := f.get(id).Reason; got != want {
			t.Errorf("%s is stored as %q, want %q", reason, got, want)
		}
	}
}

// TestAnOperatorsRetryHasTheStyleOfItsOrder: neither HTTP nor the worker has a style.
func TestAnOperatorsRetryHasTheStyleOfItsOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for id, want := range map[string]string{f.charged(): "orchestrated", f.paid(): "choreographed"} {
		_, err := f.pool.Exec(context.Background(), `UPDATE payments SET state = 'REFUND_FAILED', reason = 'customer' WHERE order_id = $1`, id)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.retry(id); err != nil {
			t.Fatal(err)
		}
		stop := f.work(f.app)
		f.await(id, payment.Refunded)
		stop()
		got := f.published(id)
		if len(got) != 2 || got[1].Event != "PaymentRefunded@2" || got[1].Style != want || got[1].Cause != got[0].Cause {
			t.Errorf("published %v, want both %s", got, want)
		}
	}
}
