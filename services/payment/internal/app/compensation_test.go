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
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
)

// compensations are the events that undo a payment, each as the thing a test does, and
// the reason the money's way back is told with.
func compensations() map[string]func(k *kit, orderID string) {
	return map[string]func(k *kit, orderID string){
		"out_of_stock": func(k *kit, id string) {
			tell(k, k.app.OnInventoryReservationFailed, event(events.InventoryReservationFailed{OrderID: id, Reason: "unknown_sku"}))
		},
		"shipment_failed": func(k *kit, id string) {
			tell(k, k.app.OnShipmentFailed, event(events.ShipmentFailed{OrderID: id, Reason: "address_not_served"}))
		},
		"customer": func(k *kit, id string) { tell(k, k.app.OnShipmentCancelled, cancelled(id)) },
		"deadline": func(k *kit, id string) {
			tell(k, k.app.OnShipmentCancelled, event(events.ShipmentCancelled{OrderID: id, Reason: "deadline"}))
		},
	}
}

func TestACompensationGivesTheMoneyBack(t *testing.T) {
	t.Parallel()
	for reason, compensate := range compensations() {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.work(k.app)
			id := k.paid()
			compensate(k, id)
			k.await(id, payment.Refunded)
			compensate(k, id)
			tell(k, k.app.OnShipmentCancelled, cancelled(id))
			if err := k.create(created(id)); err != nil {
				t.Fatal(err)
			}
			k.expectState(id, payment.Refunded)
			k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
			k.expectLedger(id, capture, "refund refund-%s 9999 "+reason)
			if p := k.get(id); p.RefundID != "re-"+id || p.Reason != reason || p.NextAttemptAt != nil || p.Attempts != 1 || p.Attention != "" {
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
			k := newKit(t)
			k.work(k.app)
			id := newOrder()
			compensate(k, id)
			k.await(id, payment.Voided)
			compensate(k, id)
			if err := k.create(created(id)); err != nil {
				t.Fatal(err)
			}
			k.expectState(id, payment.Voided)
			k.expectTold(id, "PaymentVoided@1")
			k.expectLedger(id, "void charge-%s")
			if k.gateway.Calls(gatewaytest.Charge) != 0 {
				t.Error("the tombstone did not stop the charge")
			}
			if p := k.get(id); p.Amount != total || p.Reason != reason {
				t.Errorf("row %+v", p)
			}
		})
	}
}

// TestTheTombstoneStopsAChargeBeforeTheGatewayAnswers: the compensation has committed
// and the gateway is away, so nobody knows anything yet.
func TestTheTombstoneStopsAChargeBeforeTheGatewayAnswers(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true})
	k.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	k.work(k.app)
	id := newOrder()
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	k.awaitAttempts(id, 1)
	if err := k.create(created(id)); err != nil {
		t.Fatal(err)
	}
	k.expectState(id, payment.Voiding)
	if k.gateway.Calls(gatewaytest.Charge) != 0 {
		t.Error("charged although the saga was undone")
	}
	k.gateway.Mend()
	k.advance(backoffMax)
	k.await(id, payment.Voided)
	k.expectTold(id, "PaymentVoided@1")
}

// TestCrashBetweenChargeAndTransaction: the money is taken, nothing is written, and the
// next thing that is heard of the order is its cancellation.
func TestCrashBetweenChargeAndTransaction(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := newOrder()
	e := created(id)
	if _, err := k.app.ChargeOnOrderCreated(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	k.work(k.app)
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	k.await(id, payment.Refunded)
	if err := k.create(e); err != nil { // the redelivery
		t.Fatal(err)
	}
	k.expectState(id, payment.Refunded)
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
	k.expectLedger(id, capture, "refund refund-%s 9999 customer")
	if diff := cmp.Diff([]string{"ShipmentCancelled VOIDING", "VoidTooLate REFUNDING", "RefundMade REFUNDED"}, k.history(id)); diff != "" {
		t.Error(diff)
	}
}

// TestAChargeAndItsVoidAtTheSameTime: two processes, one with the order and one with its
// cancellation. Whichever reaches the gateway first, no money stays.
func TestAChargeAndItsVoidAtTheSameTime(t *testing.T) {
	t.Parallel()
	charging := func(k *kit, e consumer.Event[events.OrderCreated]) (done chan error) {
		done = make(chan error, 1)
		go func() { done <- k.create(e) }()
		return done
	}

	t.Run("the void is first", func(t *testing.T) {
		t.Parallel()
		k := newKit(t)
		id := newOrder()
		arrived, release := make(chan struct{}), make(chan struct{})
		k.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
		k.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Times: 1, Down: true})
		done := charging(k, created(id))
		<-arrived
		k.work(k.app)
		tell(k, k.app.OnShipmentCancelled, cancelled(id))
		k.await(id, payment.Voided)
		close(release)
		// The charge was slow: its caller has an answer, or gave up and is asked again.
		if err := <-done; err != nil {
			if errs.KindOf(err) != errs.Transient {
				t.Fatal(err)
			}
			if err := k.create(created(id)); err != nil {
				t.Fatal(err)
			}
		}
		k.expectState(id, payment.Voided)
		k.expectTold(id, "PaymentVoided@1")
		k.expectLedger(id, "void charge-%s")
	})

	t.Run("the charge is first, its transaction last", func(t *testing.T) {
		t.Parallel()
		k := newKit(t)
		id := newOrder()
		e := created(id)
		answer, err := k.app.ChargeOnOrderCreated(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		k.work(k.app)
		tell(k, k.app.OnShipmentCancelled, cancelled(id))
		k.await(id, payment.Refunded)
		if err := k.record(e, answer); err != nil {
			t.Fatal(err)
		}
		k.expectState(id, payment.Refunded)
		k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
		k.expectLedger(id, capture, "refund refund-%s 9999 customer")
	})

	t.Run("the charge is first, its transaction between compensation and void", func(t *testing.T) {
		t.Parallel()
		k := newKit(t)
		id := newOrder()
		e := created(id)
		answer, err := k.app.ChargeOnOrderCreated(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		tell(k, k.app.OnShipmentCancelled, cancelled(id))
		if err := k.record(e, answer); err != nil {
			t.Fatal(err)
		}
		k.expectState(id, payment.Refunding)
		k.work(k.app)
		k.await(id, payment.Refunded)
		k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
		k.expectLedger(id, capture, "refund refund-%s 9999 customer")
		if k.gateway.Calls(gatewaytest.Void) != 0 {
			t.Error("voided what was known to be captured")
		}
	})
}

// TestEveryOrderOfDelivery delivers a saga's events to the real tables in every order,
// each twice, with the worker running freely.
func TestEveryOrderOfDelivery(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	registry := schematest.Start(t).URL
	for range 2 {
		k.work(k.replica(registry)) // processes of their own: nobody wakes them
	}
	var orders []string
	sequences := permutations([]string{"create", "out_of_stock", "customer", "create", "customer"})
	for _, sequence := range sequences {
		id := newOrder()
		orders = append(orders, id)
		for _, what := range sequence {
			if what == "create" {
				if err := k.create(created(id)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			compensations()[what](k, id)
		}
	}
	for i, id := range orders {
		want := payment.Voided
		told := []string{"PaymentVoided@1"}
		if sequences[i][0] == "create" {
			want, told = payment.Refunded, []string{"PaymentCompleted@1", "PaymentRefunded@2"}
		}
		k.await(id, want)
		k.expectTold(id, told...)
		if net := k.gateway.Net("charge-" + id); net != 0 {
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
	k := newKit(t)
	registry := schematest.Start(t).URL
	const orders = 30
	ids := make([]string, orders)
	for i := range ids {
		ids[i] = k.paid()
		tell(k, k.app.OnShipmentCancelled, cancelled(ids[i]))
	}
	for range 3 {
		k.work(k.replica(registry))
	}
	for _, id := range ids {
		k.await(id, payment.Refunded)
		k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
	}
	if n := k.gateway.Calls(gatewaytest.Refund); n != orders {
		t.Errorf("%d refunds were asked for %d orders", n, orders)
	}
}

// TestOneBadRefundKeepsNobodyWaiting: neither the compensations of other orders nor
// their refunds.
func TestOneBadRefundKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
	k.work(k.app)
	stuck := k.paid()
	tell(k, k.app.OnShipmentCancelled, cancelled(stuck))
	<-arrived
	for range 20 {
		id := k.paid()
		tell(k, k.app.OnShipmentCancelled, cancelled(id))
		k.await(id, payment.Refunded)
	}
	close(release)
	kafkatest.Eventually(t, "the stuck refund to be made", func() bool {
		k.advance(backoffMax) // in case its caller has given up, or is just doing so
		return k.get(stuck).State == string(payment.Refunded)
	})
	if net := k.gateway.Net("charge-" + stuck); net != 0 {
		t.Errorf("holds %d", net)
	}
}

// TestAnAttemptOfADeadProcessIsMadeAgain after its lease, and not before.
func TestAnAttemptOfADeadProcessIsMadeAgain(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.paid()
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	until := k.time().Add(lease)
	if _, err := k.pool.Exec(context.Background(), `UPDATE payments SET attempts = 1, next_attempt_at = $1`, until); err != nil {
		t.Fatal(err)
	}
	k.work(k.app)
	other := k.paid()
	tell(k, k.app.OnShipmentCancelled, cancelled(other))
	k.await(other, payment.Refunded) // so the worker has looked
	k.expectState(id, payment.Refunding)
	k.advance(lease)
	k.await(id, payment.Refunded)
	if p := k.get(id); p.Attempts != 2 {
		t.Errorf("%d attempts", p.Attempts)
	}
}

// TestStoppingFinishesWhatIsUnderWay: the gateway may have given the money back already.
func TestStoppingFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
	stop := k.work(k.app)
	id := k.paid()
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	<-arrived
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	close(release)
	<-stopped
	k.expectState(id, payment.Refunded)
}

func TestRetryRefundIsForMoneyOnItsWayBack(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	if err := k.retry(newOrder()); errs.KindOf(err) != errs.NotFound {
		t.Errorf("unknown order: %v", err)
	}
	id := k.paid()
	if err := k.retry(id); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "COMPLETED") {
		t.Errorf("nothing to refund: %v", err)
	}
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Down: true, Times: 1})
	k.work(k.app)
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	k.awaitAttempts(id, 1)
	if err := k.retry(id); err != nil { // no need to wait for the next attempt
		t.Fatal(err)
	}
	k.await(id, payment.Refunded)
	if err := k.retry(id); errs.KindOf(err) != errs.Conflict {
		t.Errorf("refunded already: %v", err)
	}
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
}

// TestAGatewayThatContradictsItselfIsShown: the money is given back first and asked
// about afterwards.
func TestAGatewayThatContradictsItselfIsShown(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := newOrder()
	e := created(id)
	answer, err := k.app.ChargeOnOrderCreated(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	if _, err := k.pool.Exec(context.Background(), `UPDATE payments SET state = 'VOIDED', next_attempt_at = NULL, version = 1`); err != nil {
		t.Fatal(err)
	}
	if err := k.record(e, answer); err != nil {
		t.Fatal(err)
	}
	if p := k.get(id); p.State != string(payment.Refunding) || !strings.Contains(p.Attention, "contradicts") {
		t.Errorf("row %+v", p)
	}
	k.work(k.app)
	k.await(id, payment.Refunded)
	k.expectTold(id, "PaymentCompleted@2", "PaymentRefunded@3")
	if net := k.gateway.Net("charge-" + id); net != 0 {
		t.Errorf("holds %d", net)
	}
}

// TestForeignWordsFit: what a gateway writes into its answers must not break ours.
func TestForeignWordsFit(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Decline: "nul\x00 and " + strings.Repeat("é", 2000)})
	id := newOrder()
	if err := k.create(created(id)); err != nil {
		t.Fatal(err)
	}
	if p := k.get(id); p.State != string(payment.Failed) || !strings.HasPrefix(p.DeclineCode, "nul and é") || len(p.DeclineCode) > 600 {
		t.Errorf("row %+v", p)
	}
	k.expectTold(id, "PaymentFailed@1")
}
