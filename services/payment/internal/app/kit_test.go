package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
)

const (
	total       = int64(9999)
	maxAttempts = 3
	backoffBase = time.Second
	backoffMax  = 10 * time.Second
	lease       = 20 * time.Second
	deadline    = time.Hour
)

// kit is the use cases on a database of their own, with a gateway, at a time the test
// sets.
type kit struct {
	t       testing.TB
	pool    *pgxpool.Pool
	gateway *gatewaytest.Gateway
	app     *app.App

	mu  sync.Mutex
	now time.Time
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := newWorld(t)
	k.app = k.replica(schematest.Start(t).URL)
	return k
}

// newKitBehind is a kit whose calls go through b, and whose gateway has time to answer.
func newKitBehind(t testing.TB, b *breaker.Breaker) *kit {
	t.Helper()
	k := newWorld(t)
	k.app = k.process(schematest.Start(t).URL, gateway.New(k.gateway.URL, 10*time.Second, b))
	return k
}

// newWorld is a kit without a process.
func newWorld(t testing.TB) *kit {
	t.Helper()
	k := &kit{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), gateway: gatewaytest.Start(t)}
	k.pool = pgtest.NewDB(t, outbox.Component(), postgres.Component{Name: "payment", FS: os.DirFS("../../migrations")})
	return k
}

// patient is a circuit breaker that no test of anything else trips.
func patient() *breaker.Breaker {
	return breaker.New(breaker.Config{Name: "gateway", Failures: 1000, Logger: slog.New(slog.DiscardHandler)})
}

// replica is one more process of the service on the same database.
func (k *kit) replica(registryURL string) *app.App {
	return k.process(registryURL, gateway.New(k.gateway.URL, 300*time.Millisecond, patient()))
}

func (k *kit) process(registryURL string, client *gateway.Client) *app.App {
	return app.New(app.Config{
		Pool:    k.pool,
		Outbox:  outbox.New(schema.New(schema.Config{Client: schema.NewClient(registryURL), Patience: 20 * time.Second}), "/eventshop/payment"),
		Gateway: client,
		Log:     slog.New(slog.DiscardHandler),
		Now:     k.time,
		Refunds: app.Refunds{
			MaxAttempts: maxAttempts, BackoffBase: backoffBase, BackoffMax: backoffMax, Deadline: deadline,
			Lease: lease, Poll: 10 * time.Millisecond,
		},
	})
}

func (k *kit) time() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *kit) advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
}

// work runs an App's worker until the end of the test, or until stop is called.
func (k *kit) work(a *app.App) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.ReturnMoney(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			k.t.Errorf("the worker ended with %v", err)
		}
	})
	k.t.Cleanup(stop)
	return stop
}

func newOrder() string { return uuid.Must(uuid.NewV7()).String() }

func event[T events.Event](data T) consumer.Event[T] {
	return consumer.Event[T]{
		Envelope: events.Envelope{
			ID: uuid.Must(uuid.NewV7()), Type: data.EventType(), CorrelationID: "correlation-" + data.AggregateKey(),
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		},
		Data: data,
	}
}

func created(orderID string) consumer.Event[events.OrderCreated] {
	return event(events.OrderCreated{
		OrderID: orderID, Customer: events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		TotalAmount: total, Currency: "GBP",
	})
}

func cancelled(orderID string) consumer.Event[events.ShipmentCancelled] {
	return event(events.ShipmentCancelled{OrderID: orderID, Reason: "customer"})
}

// create delivers an event as the consumer does: the call first, then the transaction.
func (k *kit) create(e consumer.Event[events.OrderCreated]) error {
	answer, err := k.app.ChargeOnOrderCreated(context.Background(), e)
	if err != nil {
		return err
	}
	return k.record(e, answer)
}

// record is the transaction after the call.
func (k *kit) record(e consumer.Event[events.OrderCreated], answer gateway.Answer) error {
	return k.tx(func(tx pgx.Tx) error { return k.app.OnOrderCreated(context.Background(), tx, e, answer) })
}

// tell delivers an event whose handling calls nobody.
func tell[T events.Event](k *kit, reaction func(context.Context, pgx.Tx, consumer.Event[T]) error, e consumer.Event[T]) {
	k.t.Helper()
	if err := k.tx(func(tx pgx.Tx) error { return reaction(context.Background(), tx, e) }); err != nil {
		k.t.Fatalf("%s: %v", e.Data.EventType(), err)
	}
}

// paid gives an order that is COMPLETED.
func (k *kit) paid() string {
	k.t.Helper()
	id := newOrder()
	if err := k.create(created(id)); err != nil {
		k.t.Fatalf("create: %v", err)
	}
	k.expectState(id, payment.Completed)
	return id
}

func (k *kit) tx(fn func(tx pgx.Tx) error) error {
	return postgres.InTx(context.Background(), k.pool, fn)
}

func (k *kit) retry(orderID string) error {
	return k.tx(func(tx pgx.Tx) error {
		_, err := k.app.RetryRefund(context.Background(), tx, orderID)
		return err
	})
}

func (k *kit) get(orderID string) db.Payment {
	k.t.Helper()
	p, _, err := k.app.GetPayment(context.Background(), k.pool, orderID)
	if err != nil {
		k.t.Fatalf("get payment: %v", err)
	}
	return p
}

func (k *kit) expectState(orderID string, want payment.State) {
	k.t.Helper()
	if p := k.get(orderID); p.State != string(want) {
		k.t.Fatalf("payment is %s, want %s: %+v", p.State, want, p)
	}
}

func (k *kit) await(orderID string, want payment.State) {
	k.t.Helper()
	kafkatest.Eventually(k.t, "payment to be "+string(want), func() bool { return k.get(orderID).State == string(want) })
}

// awaitAttempts waits until an attempt has failed and is recorded: it is due later than
// now, but not because of a lease.
func (k *kit) awaitAttempts(orderID string, n int32) {
	k.t.Helper()
	kafkatest.Eventually(k.t, fmt.Sprintf("attempt %d to fail", n), func() bool {
		p := k.get(orderID)
		leased := p.NextAttemptAt != nil && p.NextAttemptAt.Equal(k.time().Add(lease))
		return p.Attempts == n && p.LastError != "" && !leased
	})
}

// told lists what an order's payment has published, in the order of publication.
func (k *kit) told(orderID string) []string {
	k.t.Helper()
	rows, err := k.pool.Query(context.Background(), `
		SELECT event_type || '@' || ce_aggregateversion FROM outbox
		WHERE aggregate_id = $1 AND key = convert_to($1, 'UTF8') AND topic = 'payment.events'
		  AND ce_correlationid = 'correlation-' || $1 AND ce_causationid <> '' AND traceparent <> ''
		ORDER BY seq`, orderID)
	if err != nil {
		k.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		k.t.Fatal(err)
	}
	return got
}

func (k *kit) expectTold(orderID string, want ...string) {
	k.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), k.told(orderID)); diff != "" {
		k.t.Errorf("published (-want +got):\n%s", diff)
	}
}

func (k *kit) expectLedger(orderID string, want ...string) {
	k.t.Helper()
	full := []string{}
	for _, entry := range want {
		full = append(full, fmt.Sprintf(entry, orderID))
	}
	if diff := cmp.Diff(full, k.gateway.Ledger()); diff != "" {
		k.t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

// history lists the states a payment went through, with what moved it.
func (k *kit) history(orderID string) []string {
	k.t.Helper()
	_, history, err := k.app.GetPayment(context.Background(), k.pool, orderID)
	if err != nil {
		k.t.Fatal(err)
	}
	var got []string
	for _, h := range history {
		got = append(got, h.Input+" "+h.State)
	}
	return got
}
