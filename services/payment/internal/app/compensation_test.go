package app_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// compensations returns the events that compensate a payment, each as an action of a test, by the
// reason that the returned money is emitted with.
func compensations() map[string]func(f *fixture, orderID string) {
	return map[string]func(f *fixture, orderID string){
		"out_of_stock": func(f *fixture, id string) {
			mustReceive(f, app.OnInventoryReservationFailed, delivered(events.InventoryReservationFailed{OrderID: id, Reason: "unknown_sku"}))
		},
		"shipment_failed": func(f *fixture, id string) {
			mustReceive(f, app.OnShipmentFailed, delivered(events.ShipmentFailed{OrderID: id, Reason: "address_not_served"}))
		},
		"customer": func(f *fixture, id string) { mustReceive(f, app.OnShipmentCancelled, cancelled(id)) },
		"deadline": func(f *fixture, id string) {
			mustReceive(f, app.OnShipmentCancelled, delivered(events.ShipmentCancelled{OrderID: id, Reason: "deadline"}))
		},
	}
}

func TestACompensationGivesTheMoneyBack(t *testing.T) {
	t.Parallel()
	for reason, compensate := range compensations() {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.work(f.app)
			id := f.paid()
			compensate(f, id)
			f.await(id, payment.Refunded)
			compensate(f, id)
			mustReceive(f, app.OnShipmentCancelled, cancelled(id))
			if err := f.create(created(id)); err != nil {
				t.Fatal(err)
			}
			f.expectState(id, payment.Refunded)
			f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
			f.expectLedger(id, capture, "refund refund-%s 9999 "+reason)
			if p := f.get(id); p.RefundID != "re-"+id || p.Reason != reason || p.NextAttemptAt != nil || p.Attempts != 1 || p.Attention != "" {
				t.Errorf("row %+v", p)
			}
		})
	}
}

func TestACompensationAheadOfTheOrderLeavesATombstone(t *testing.T) {
	t.Parallel()
	for reason, compensate := range compensations() {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.work(f.app)
			id := newOrder()
			compensate(f, id)
			f.await(id, payment.Voided)
			compensate(f, id)
			if err := f.create(created(id)); err != nil {
				t.Fatal(err)
			}
			f.expectState(id, payment.Voided)
			f.expectEmitted(id, "PaymentVoided@1")
			f.expectLedger(id, "void charge-%s")
			if f.gateway.Calls(gatewaytest.Charge) != 0 {
				t.Error("the tombstone did not stop the charge")
			}
			if p := f.get(id); p.Amount != total || p.Reason != reason {
				t.Errorf("row %+v", p)
			}
		})
	}
}

// TestTheTombstoneStopsAChargeBeforeTheGatewayAnswers: the compensation has committed and the
// gateway is unavailable, so the outcome is unknown.
func TestTheTombstoneStopsAChargeBeforeTheGatewayAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true})
	f.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	f.work(f.app)
	id := newOrder()
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	f.awaitAttempts(id, 1)
	if err := f.create(created(id)); err != nil {
		t.Fatal(err)
	}
	f.expectState(id, payment.Voiding)
	if f.gateway.Calls(gatewaytest.Charge) != 0 {
		t.Error("charged although the saga was undone")
	}
	f.gateway.Mend()
	f.advance(backoffMax)
	f.await(id, payment.Voided)
	f.expectEmitted(id, "PaymentVoided@1")
}

// TestCrashBetweenChargeAndTransaction: the money is taken, nothing is written, and the next event
// of the order is its cancellation.
func TestCrashBetweenChargeAndTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	e := created(id)
	if _, err := f.charge(e); err != nil {
		t.Fatal(err)
	}
	f.work(f.app)
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	f.await(id, payment.Refunded)
	if err := f.create(e); err != nil { // the redelivery
		t.Fatal(err)
	}
	f.expectState(id, payment.Refunded)
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
	f.expectLedger(id, capture, "refund refund-%s 9999 customer")
	if diff := cmp.Diff([]string{"ShipmentCancelled VOIDING", "VoidTooLate REFUNDING", "RefundMade REFUNDED"}, f.history(id)); diff != "" {
		t.Error(diff)
	}
}

// TestAChargeAndItsVoidAtTheSameTime: two processes, one with the order and one with its
// cancellation. Whichever reaches the gateway first, no money is kept.
func TestAChargeAndItsVoidAtTheSameTime(t *testing.T) {
	t.Parallel()
	charging := func(f *fixture, e consumer.Event[events.OrderCreated]) (done chan error) {
		done = make(chan error, 1)
		go func() { done <- f.create(e) }()
		return done
	}

	t.Run("the void is first", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		id := newOrder()
		arrived, release := make(chan struct{}), make(chan struct{})
		f.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
		f.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Times: 1, Down: true})
		done := charging(f, created(id))
		<-arrived
		f.work(f.app)
		mustReceive(f, app.OnShipmentCancelled, cancelled(id))
		f.await(id, payment.Voided)
		close(release)
		// The charge was slow: its caller has an answer, or gave up and tries again.
		if err := <-done; err != nil {
			if errs.KindOf(err) != errs.Transient {
				t.Fatal(err)
			}
			if err := f.create(created(id)); err != nil {
				t.Fatal(err)
			}
		}
		f.expectState(id, payment.Voided)
		f.expectEmitted(id, "PaymentVoided@1")
		f.expectLedger(id, "void charge-%s")
	})

	t.Run("the charge is first, its transaction last", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		id := newOrder()
		e := created(id)
		answer, err := f.charge(e)
		if err != nil {
			t.Fatal(err)
		}
		f.work(f.app)
		mustReceive(f, app.OnShipmentCancelled, cancelled(id))
		f.await(id, payment.Refunded)
		if err := f.record(e, answer); err != nil {
			t.Fatal(err)
		}
		f.expectState(id, payment.Refunded)
		f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
		f.expectLedger(id, capture, "refund refund-%s 9999 customer")
	})

	t.Run("the charge is first, its transaction between compensation and void", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		id := newOrder()
		e := created(id)
		answer, err := f.charge(e)
		if err != nil {
			t.Fatal(err)
		}
		mustReceive(f, app.OnShipmentCancelled, cancelled(id))
		if err := f.record(e, answer); err != nil {
			t.Fatal(err)
		}
		f.expectState(id, payment.Refunding)
		f.work(f.app)
		f.await(id, payment.Refunded)
		f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
		f.expectLedger(id, capture, "refund refund-%s 9999 customer")
		if f.gateway.Calls(gatewaytest.Void) != 0 {
			t.Error("voided what was known to be captured")
		}
	})
}

// TestEveryOrderOfDelivery delivers the events of a saga to the real tables in every order, each
// twice, while the worker runs.
func TestEveryOrderOfDelivery(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	registry := schematest.Start(t).URL
	for range 2 {
		f.work(f.replica(registry)) // other processes, so they get no wake-ups
	}
	var orders []string
	sequences := permutations([]string{"create", "out_of_stock", "customer", "create", "customer"})
	for _, sequence := range sequences {
		id := newOrder()
		orders = append(orders, id)
		for _, what := range sequence {
			if what == "create" {
				if err := f.create(created(id)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			compensations()[what](f, id)
		}
	}
	for i, id := range orders {
		want := payment.Voided
		emitted := []string{"PaymentVoided@1"}
		if sequences[i][0] == "create" {
			want, emitted = payment.Refunded, []string{"PaymentCompleted@1", "PaymentRefunded@2"}
		}
		f.await(id, want)
		f.expectEmitted(id, emitted...)
		if net := f.gateway.Net("charge-" + id); net != 0 {
			t.Errorf("%v holds %d", sequences[i], net)
		}
	}
}

// permutations lists the distinct orders of words.
func permutations(words []string) [][]string {
	if len(words) == 0 {
		return [][]string{nil}
	}
	var all [][]string
	first := map[string]bool{}
	for i, word := range words {
		if first[word] {
			continue
		}
		first[word] = true
		rest := append(append([]string{}, words[:i]...), words[i+1:]...)
		for _, p := range permutations(rest) {
			all = append(all, append([]string{word}, p...))
		}
	}
	return all
}

func TestWorkersShareTheAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	registry := schematest.Start(t).URL
	const orders = 30
	ids := make([]string, orders)
	for i := range ids {
		ids[i] = f.paid()
		mustReceive(f, app.OnShipmentCancelled, cancelled(ids[i]))
	}
	for range 3 {
		f.work(f.replica(registry))
	}
	for _, id := range ids {
		f.await(id, payment.Refunded)
		f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
	}
	if n := f.gateway.Calls(gatewaytest.Refund); n != orders {
		t.Errorf("%d refunds were asked for %d orders", n, orders)
	}
}

// TestOneBadRefundDelaysNoOther: it delays neither the compensations nor the refunds of other
// orders.
func TestOneBadRefundDelaysNoOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
	f.work(f.app)
	stuck := f.paid()
	mustReceive(f, app.OnShipmentCancelled, cancelled(stuck))
	<-arrived
	for range 20 {
		id := f.paid()
		mustReceive(f, app.OnShipmentCancelled, cancelled(id))
		f.await(id, payment.Refunded)
	}
	close(release)
	kafkatest.Eventually(t, "the stuck refund to be made", func() bool {
		f.advance(backoffMax) // in case its caller has given up or is about to
		return f.get(stuck).State == string(payment.Refunded)
	})
	if net := f.gateway.Net("charge-" + stuck); net != 0 {
		t.Errorf("holds %d", net)
	}
}

// TestAnAttemptOfADeadProcessIsMadeAgain after its lease, and not before.
func TestAnAttemptOfADeadProcessIsMadeAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.paid()
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	until := f.time().Add(lease)
	if _, err := f.pool.Exec(context.Background(), `UPDATE payments SET attempts = 1, next_attempt_at = $1`, until); err != nil {
		t.Fatal(err)
	}
	f.work(f.app)
	other := f.paid()
	mustReceive(f, app.OnShipmentCancelled, cancelled(other))
	f.await(other, payment.Refunded) // so the worker has looked
	f.expectState(id, payment.Refunding)
	f.advance(lease)
	f.await(id, payment.Refunded)
	if p := f.get(id); p.Attempts != 2 {
		t.Errorf("%d attempts", p.Attempts)
	}
}

// TestStoppingFinishesWhatIsUnderWay: the gateway may already have refunded the money.
func TestStoppingFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
	stop := f.work(f.app)
	id := f.paid()
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	<-arrived
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	close(release)
	<-stopped
	f.expectState(id, payment.Refunded)
}

func TestRetryRefundIsForMoneyOnItsWayBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.retry(newOrder()); errs.KindOf(err) != errs.NotFound {
		t.Errorf("unknown order: %v", err)
	}
	id := f.paid()
	if err := f.retry(id); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "COMPLETED") {
		t.Errorf("nothing to refund: %v", err)
	}
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Down: true, Times: 1})
	f.work(f.app)
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	f.awaitAttempts(id, 1)
	if err := f.retry(id); err != nil { // without waiting for the next attempt
		t.Fatal(err)
	}
	f.await(id, payment.Refunded)
	if err := f.retry(id); errs.KindOf(err) != errs.Conflict {
		t.Errorf("refunded already: %v", err)
	}
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
}

// TestAGatewayThatContradictsItselfIsShown: the money is refunded first, and the payment needs
// attention.
func TestAGatewayThatContradictsItselfIsShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	e := created(id)
	answer, err := f.charge(e)
	if err != nil {
		t.Fatal(err)
	}
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	if _, err := f.pool.Exec(context.Background(), `UPDATE payments SET state = 'VOIDED', next_attempt_at = NULL, version = 1`); err != nil {
		t.Fatal(err)
	}
	if err := f.record(e, answer); err != nil {
		t.Fatal(err)
	}
	if p := f.get(id); p.State != string(payment.Refunding) || !strings.Contains(p.Attention, "contradicts") {
		t.Errorf("row %+v", p)
	}
	f.work(f.app)
	f.await(id, payment.Refunded)
	f.expectEmitted(id, "PaymentCompleted@2", "PaymentRefunded@3")
	if net := f.gateway.Net("charge-" + id); net != 0 {
		t.Errorf("holds %d", net)
	}
}

// TestForeignWordsFit: text in the gateway's answers must not break the service's columns and
// events.
func TestForeignWordsFit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Decline: "nul\x00 and " + strings.Repeat("é", 2000)})
	id := newOrder()
	if err := f.create(created(id)); err != nil {
		t.Fatal(err)
	}
	if p := f.get(id); p.State != string(payment.Failed) || !strings.HasPrefix(p.DeclineCode, "nul and é") || len(p.DeclineCode) > 600 {
		t.Errorf("row %+v", p)
	}
	f.expectEmitted(id, "PaymentFailed@1")
}
