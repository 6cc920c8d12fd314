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
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

const (
	total       = int64(9999)
	maxAttempts = 3
	backoffBase = time.Second
	backoffMax  = 10 * time.Second
	lease       = 20 * time.Second
	deadline    = time.Hour
)

// fixture holds the use cases on their own database, with a gateway, at a time that the test sets.
type fixture struct {
	t       testing.TB
	pool    *pgxpool.Pool
	gateway *gatewaytest.Gateway
	app     *app.App

	mu  sync.Mutex
	now time.Time
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := newFixtureWithoutApp(t)
	f.app = f.replica(schematest.Start(t).URL)
	return f
}

// newFixtureBehind returns a fixture whose calls go through b, with a gateway timeout of 10 s.
func newFixtureBehind(t testing.TB, b *breaker.Breaker) *fixture {
	t.Helper()
	f := newFixtureWithoutApp(t)
	f.app = f.process(schematest.Start(t).URL, gateway.New(f.gateway.URL, 10*time.Second, b))
	return f
}

// newFixtureWithoutApp returns a fixture without a process.
func newFixtureWithoutApp(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), gateway: gatewaytest.Start(t)}
	f.pool = pgtest.NewDB(t, outbox.Component(), postgres.Component{Name: "payment", FS: os.DirFS("../../migrations")})
	return f
}

// patient returns a circuit breaker that stays closed in tests of other behaviour.
func patient() *breaker.Breaker {
	return breaker.New(breaker.Config{Name: "gateway", Failures: 1000, Logger: slog.New(slog.DiscardHandler)})
}

// replica returns one more process of the service on the same database.
func (f *fixture) replica(registryURL string) *app.App {
	return f.process(registryURL, gateway.New(f.gateway.URL, time.Second, patient()))
}

func (f *fixture) process(registryURL string, client *gateway.Client) *app.App {
	return app.New(app.Config{
		Pool:    f.pool,
		Outbox:  newOutbox(schema.New(schema.Config{Types: events.Catalogue(), Client: schema.NewClient(registryURL), Patience: 20 * time.Second})),
		Gateway: client,
		Log:     slog.New(slog.DiscardHandler),
		Now:     f.time,
		Refunds: app.Refunds{
			MaxAttempts: maxAttempts, BackoffBase: backoffBase, BackoffMax: backoffMax, Deadline: deadline,
			Lease: lease, Poll: 10 * time.Millisecond,
		},
	})
}

func (f *fixture) time() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// work runs an App's worker until the test ends or stop is called.
func (f *fixture) work(a *app.App) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.ReturnMoney(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("the worker ended with %v", err)
		}
	})
	f.t.Cleanup(stop)
	return stop
}

func newOrder() string { return uuid.Must(uuid.NewV7()).String() }

func delivered[T event.Event](data T) consumer.Event[T] {
	return consumer.Event[T]{
		Envelope: event.Envelope{
			ID: uuid.Must(uuid.NewV7()), Type: data.EventType(), CorrelationID: "correlation-" + data.AggregateKey(),
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		},
		Data: data,
	}
}

func created(orderID string) consumer.Event[events.OrderCreated] {
	return delivered(events.OrderCreated{
		OrderID: orderID, Customer: events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		TotalAmount: total, Currency: "GBP",
	})
}

func cancelled(orderID string) consumer.Event[events.ShipmentCancelled] {
	return delivered(events.ShipmentCancelled{OrderID: orderID, Reason: "customer"})
}

// asking is a record whose handling may call the gateway first.
type asking[T event.Event] struct {
	call  func(app.Payment, consumer.Event[T]) consumer.Call[gateway.Answer]
	input func(consumer.Event[T], gateway.Answer) app.Input
}

// call makes the call before the transaction.
func call[T event.Event](f *fixture, as asking[T], e consumer.Event[T]) (gateway.Answer, error) {
	key := e.Data.AggregateKey()
	found, err := f.app.Payments.Look(context.Background(), f.pool, []string{key})
	if err != nil {
		return gateway.Answer{}, err
	}
	if due := as.call(found[key], e); due != nil {
		return due(context.Background())
	}
	return gateway.Answer{}, nil
}

// record runs the transaction after the call.
func record[T event.Event](f *fixture, as asking[T], e consumer.Event[T], answer gateway.Answer) error {
	return f.apply(stepOf(f, func(e consumer.Event[T]) app.Input { return as.input(e, answer) }, e))
}

// deliver delivers a record as the consumer does: first the call, then the transaction.
func deliver[T event.Event](f *fixture, as asking[T], e consumer.Event[T]) error {
	answer, err := call(f, as, e)
	if err != nil {
		return err
	}
	return record(f, as, e, answer)
}

func (f *fixture) orderCreated() asking[events.OrderCreated] {
	return asking[events.OrderCreated]{f.app.ChargeOnOrderCreated, app.OnOrderCreated}
}

// create, charge and record are deliver, call and record for OrderCreated.
func (f *fixture) create(e consumer.Event[events.OrderCreated]) error {
	return deliver(f, f.orderCreated(), e)
}

func (f *fixture) charge(e consumer.Event[events.OrderCreated]) (gateway.Answer, error) {
	return call(f, f.orderCreated(), e)
}

func (f *fixture) record(e consumer.Event[events.OrderCreated], answer gateway.Answer) error {
	return record(f, f.orderCreated(), e, answer)
}

// answered returns the input of an OrderCreated whose call was answered.
func answered(answer gateway.Answer) func(consumer.Event[events.OrderCreated]) app.Input {
	return func(e consumer.Event[events.OrderCreated]) app.Input { return app.OnOrderCreated(e, answer) }
}

// stepOf returns the step that an event is.
func stepOf[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, e consumer.Event[T]) reaction.Step[app.Input] {
	return f.app.Payments.Step(e.Data.AggregateKey(), input(e), e.Cause())
}

// apply applies steps as one set, in a transaction of its own.
func (f *fixture) apply(steps ...reaction.Step[app.Input]) error {
	var decisions []reaction.Decision[app.Payment]
	err := f.tx(func(tx pgx.Tx) (err error) {
		decisions, err = f.app.Payments.Run(context.Background(), tx, steps...)
		return err
	})
	if err != nil {
		return err
	}
	reaction.Committed(context.Background(), decisions...)
	return nil
}

// receive delivers an event whose handling makes no call.
func receive[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, e consumer.Event[T]) error {
	return f.apply(stepOf(f, input, e))
}

// mustReceive delivers an event whose handling makes no call and must succeed.
func mustReceive[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, e consumer.Event[T]) {
	f.t.Helper()
	if err := receive(f, input, e); err != nil {
		f.t.Fatalf("%s: %v", e.Data.EventType(), err)
	}
}

// paid returns an order whose payment is COMPLETED.
func (f *fixture) paid() string {
	f.t.Helper()
	id := newOrder()
	if err := f.create(created(id)); err != nil {
		f.t.Fatalf("create: %v", err)
	}
	f.expectState(id, payment.Completed)
	return id
}

func (f *fixture) tx(fn func(tx pgx.Tx) error) error {
	return postgres.InTx(context.Background(), f.pool, fn)
}

func (f *fixture) retry(orderID string) error {
	var committed func(context.Context)
	err := f.tx(func(tx pgx.Tx) (err error) {
		committed, err = f.app.RetryRefund(context.Background(), tx, orderID)
		return err
	})
	if err == nil {
		committed(context.Background())
	}
	return err
}

func (f *fixture) get(orderID string) db.Payment {
	f.t.Helper()
	p, _, err := f.app.GetPayment(context.Background(), f.pool, orderID)
	if err != nil {
		f.t.Fatalf("get payment: %v", err)
	}
	return p
}

func (f *fixture) expectState(orderID string, want payment.State) {
	f.t.Helper()
	if p := f.get(orderID); p.State != string(want) {
		f.t.Fatalf("payment is %s, want %s: %+v", p.State, want, p)
	}
}

func (f *fixture) await(orderID string, want payment.State) {
	f.t.Helper()
	kafkatest.Eventually(f.t, "payment to be "+string(want), func() bool { return f.get(orderID).State == string(want) })
}

// awaitAttempts waits until an attempt has failed and is recorded: it is due later, but not because
// of a lease.
func (f *fixture) awaitAttempts(orderID string, n int32) {
	f.t.Helper()
	kafkatest.Eventually(f.t, fmt.Sprintf("attempt %d to fail", n), func() bool {
		p := f.get(orderID)
		leased := p.NextAttemptAt != nil && p.NextAttemptAt.Equal(f.time().Add(lease))
		return p.Attempts == n && p.LastError != "" && !leased
	})
}

// emitted lists the published events of an order's payment in the order of publication.
func (f *fixture) emitted(orderID string) []string {
	f.t.Helper()
	rows, err := f.pool.Query(context.Background(), `
		SELECT event_type || '@' || ce_aggregateversion FROM outbox
		WHERE aggregate_id = $1 AND key = convert_to($1, 'UTF8') AND topic = 'payment.events'
		  AND ce_correlationid = 'correlation-' || $1 AND ce_causationid <> '' AND traceparent <> ''
		ORDER BY seq`, orderID)
	if err != nil {
		f.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

func (f *fixture) expectEmitted(orderID string, want ...string) {
	f.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), f.emitted(orderID)); diff != "" {
		f.t.Errorf("published (-want +got):\n%s", diff)
	}
}

func (f *fixture) expectLedger(orderID string, want ...string) {
	f.t.Helper()
	full := []string{}
	for _, entry := range want {
		full = append(full, fmt.Sprintf(entry, orderID))
	}
	if diff := cmp.Diff(full, f.gateway.Ledger()); diff != "" {
		f.t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

// history lists the states of a payment and the inputs that led to them.
func (f *fixture) history(orderID string) []string {
	f.t.Helper()
	_, history, err := f.app.GetPayment(context.Background(), f.pool, orderID)
	if err != nil {
		f.t.Fatal(err)
	}
	var got []string
	for _, h := range history {
		got = append(got, h.Input+" "+h.State)
	}
	return got
}

func newOutbox(codec *schema.Codec) *outbox.Outbox {
	return outbox.New(outbox.Config{Source: "/eventshop/payment", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode})
}
