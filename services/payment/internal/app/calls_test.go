package app_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// TestNoTransactionIsOpenDuringACall: a slow gateway holds no connection of the pool and no row
// lock, for charges, voids and refunds alike.
func TestNoTransactionIsOpenDuringACall(t *testing.T) {
	t.Parallel()
	for operation, begin := range map[string]func(f *fixture, id string, done chan<- error){
		gatewaytest.Charge: func(f *fixture, id string, done chan<- error) {
			go func() { done <- f.create(created(id)) }()
		},
		gatewaytest.Void: func(f *fixture, id string, done chan<- error) {
			mustReceive(f, app.OnShipmentCancelled, cancelled(id))
			f.work(f.app)
			done <- nil
		},
		gatewaytest.Refund: func(f *fixture, id string, done chan<- error) {
			if err := f.create(created(id)); err != nil {
				f.t.Fatal(err)
			}
			mustReceive(f, app.OnShipmentCancelled, cancelled(id))
			f.work(f.app)
			done <- nil
		},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := newFixtureBehind(t, patient())
			arrived, release := make(chan struct{}), make(chan struct{})
			f.gateway.Fail(operation, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
			id := newOrder()
			done := make(chan error, 1)
			begin(f, id, done)
			<-arrived
			var open int
			err := f.pool.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND state LIKE 'idle in transaction%'`).Scan(&open)
			if err != nil || open != 0 {
				t.Errorf("%d transactions are open, %v", open, err)
			}
			err = f.tx(func(tx pgx.Tx) error {
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
			f.await(id, want)
		})
	}
}

// TestACompensationMakesNoCall: it records what has to be done, and the worker calls the gateway.
func TestACompensationMakesNoCall(t *testing.T) {
	t.Parallel()
	for reason, compensate := range compensations() {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			charged, unheard := f.paid(), newOrder()
			compensate(f, charged)
			compensate(f, unheard)
			f.expectState(charged, payment.Refunding)
			f.expectState(unheard, payment.Voiding)
			if n := f.gateway.Calls(gatewaytest.Void) + f.gateway.Calls(gatewaytest.Refund) + f.gateway.Calls(gatewaytest.Lookup); n != 0 {
				t.Errorf("the gateway was asked %d times", n)
			}
			for _, id := range []string{charged, unheard} {
				if p := f.get(id); p.NextAttemptAt == nil || p.NextAttemptAt.After(f.time()) {
					t.Errorf("the worker is not due at once: %+v", p)
				}
			}
		})
	}
}
