package app_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
)

// TestNoTransactionIsOpenDuringACall: a gateway that thinks for long holds no connection of
// the pool and no row, for charges, voids and refunds alike.
func TestNoTransactionIsOpenDuringACall(t *testing.T) {
	t.Parallel()
	for operation, begin := range map[string]func(k *kit, id string, done chan<- error){
		gatewaytest.Charge: func(k *kit, id string, done chan<- error) {
			go func() { done <- k.create(created(id)) }()
		},
		gatewaytest.Void: func(k *kit, id string, done chan<- error) {
			tell(k, k.app.OnShipmentCancelled, cancelled(id))
			k.work(k.app)
			done <- nil
		},
		gatewaytest.Refund: func(k *kit, id string, done chan<- error) {
			if err := k.create(created(id)); err != nil {
				k.t.Fatal(err)
			}
			tell(k, k.app.OnShipmentCancelled, cancelled(id))
			k.work(k.app)
			done <- nil
		},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			k := newKitBehind(t, patient())
			arrived, release := make(chan struct{}), make(chan struct{})
			k.gateway.Fail(operation, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
			id := newOrder()
			done := make(chan error, 1)
			begin(k, id, done)
			<-arrived
			var open int
			err := k.pool.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND state LIKE 'idle in transaction%'`).Scan(&open)
			if err != nil || open != 0 {
				t.Errorf("%d transactions are open, %v", open, err)
			}
			err = k.tx(func(tx pgx.Tx) error {
				_, err := tx.Exec(context.Background(), `SELECT FROM payments WHERE order_id = $1 FOR UPDATE NOWAIT`, id)
				return err
			})
			if err != nil {
				t.Errorf("the row is held: %v", err)
			}
			close(release)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			want := map[string]payment.State{
				gatewaytest.Charge: payment.Completed, gatewaytest.Void: payment.Voided, gatewaytest.Refund: payment.Refunded,
			}[operation]
			k.await(id, want)
		})
	}
}

// TestACompensationCallsNobody: it records what is to be done, and the worker does it.
func TestACompensationCallsNobody(t *testing.T) {
	t.Parallel()
	for reason, compensate := range compensations() {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			charged, unheard := k.paid(), newOrder()
			compensate(k, charged)
			compensate(k, unheard)
			k.expectState(charged, payment.Refunding)
			k.expectState(unheard, payment.Voiding)
			if n := k.gateway.Calls(gatewaytest.Void) + k.gateway.Calls(gatewaytest.Refund) + k.gateway.Calls(gatewaytest.Lookup); n != 0 {
				t.Errorf("the gateway was asked %d times", n)
			}
			for _, id := range []string{charged, unheard} {
				if p := k.get(id); p.NextAttemptAt == nil || p.NextAttemptAt.After(k.time()) {
					t.Errorf("the worker is not due at once: %+v", p)
				}
			}
		})
	}
}
