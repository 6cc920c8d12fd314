package app

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
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/notification/internal/db"
	"eventshop.example/services/notification/internal/mailbox"
	"eventshop.example/services/notification/internal/mailbox/mailboxtest"
	"eventshop.example/services/notification/internal/orders"
	"eventshop.example/services/notification/internal/orders/orderstest"
	"eventshop.example/services/notification/notification"
)

const (
	lease       = 20 * time.Second
	backoffBase = time.Second
)

// fixture is the service on its own database, with an order service and a mailbox, at a time that the
// test sets.
type fixture struct {
	t       *testing.T
	pool    *pgxpool.Pool
	orders  *orderstest.Service
	mailbox *mailboxtest.Mailbox

	mu  sync.Mutex
	now time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	f := &fixture{t: t, orders: orderstest.Start(t), mailbox: mailboxtest.Start(t), now: time.Now().UTC()}
	f.pool = pgtest.NewDB(t, postgres.Component{Name: "notification", FS: os.DirFS("../..")})
	return f
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

// process returns a process of the service in a style.
func (f *fixture) process(style notification.Style) *App {
	return f.processBehind(style, patient("mailbox"))
}

func (f *fixture) processBehind(style notification.Style, b *breaker.Breaker) *App {
	f.t.Helper()
	a := New(Config{
		Pool: f.pool, Style: style, Log: slog.New(slog.DiscardHandler), Now: f.time,
		Orders:  orders.New(f.orders.URL, time.Minute, patient("order")),
		Mailbox: mailbox.New(f.mailbox.URL, time.Minute, b),
		Sending: Sending{BackoffBase: backoffBase, BackoffMax: time.Minute, Lease: lease, Poll: 10 * time.Millisecond},
	})
	if err := a.Begin(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	return a
}

// patient returns a circuit breaker that stays closed in tests of other behaviour.
func patient(name string) *breaker.Breaker {
	return breaker.New(breaker.Config{Name: name, Failures: 1000, Logger: slog.New(slog.DiscardHandler)})
}

// newOrder returns the id of an order that the order service shows.
func (f *fixture) newOrder() string {
	id := uuid.Must(uuid.NewV7()).String()
	f.orders.Put(id, fmt.Sprintf(`{"orderId":%q,"version":1,"status":"PENDING","customer":{"id":"cust-7","name":"Ada Lovelace","email":"ada@example.com"},
		"items":[{"sku":"WIDGET-01","quantity":2,"unitPrice":29.99},{"sku":"GADGET-05","quantity":1,"unitPrice":40.00}],"totalAmount":99.98,"currency":"GBP"}`, id))
	return id
}

func wrapped[T event.Event](data T) consumer.Event[T] {
	return consumer.Event[T]{
		Envelope: event.Envelope{ID: uuid.Must(uuid.NewV7()), Type: data.EventType(), CorrelationID: "correlation-" + data.AggregateKey()},
		Data:     data,
	}
}

func placedAt(id string, at time.Time) consumer.Event[events.OrderPlaced] {
	return wrapped(events.OrderPlaced{OrderID: id, OccurredAt: at})
}

func createdAt(id string, at time.Time) consumer.Event[events.OrderCreated] {
	return wrapped(events.OrderCreated{
		OrderID: id, Customer: events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		Items:       []events.OrderItem{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}, {SKU: "GADGET-05", Quantity: 1, UnitPrice: 4000}},
		TotalAmount: 9998, Currency: "GBP", OccurredAt: at,
	})
}

// placed delivers OrderPlaced as the consumer does: first the call, if one is due, then the
// transaction.
func (f *fixture) placed(a *App, id string) error { return f.deliverPlaced(a, placedAt(id, f.time())) }

func (f *fixture) deliverPlaced(a *App, e consumer.Event[events.OrderPlaced]) error {
	ctx := context.Background()
	found, err := a.Mails.Look(ctx, f.pool, []string{e.Data.OrderID})
	if err != nil {
		return err
	}
	var shown notification.Order
	if call := a.AskOnOrderPlaced(found[e.Data.OrderID], e); call != nil {
		if shown, err = call(ctx); err != nil {
			return err
		}
	}
	return f.apply(a, e.Data.OrderID, a.OnOrderPlaced(e, shown), e.CorrelationID)
}

// created delivers OrderCreated.
func (f *fixture) created(a *App, id string) error {
	return f.deliverCreated(a, createdAt(id, f.time()))
}

func (f *fixture) deliverCreated(a *App, e consumer.Event[events.OrderCreated]) error {
	return f.apply(a, e.Data.OrderID, a.OnOrderCreated(e), e.CorrelationID)
}

func (f *fixture) apply(a *App, id string, in Input, correlation string) error {
	s := a.Mails.Step(id, in, wrapped(events.OrderPlaced{OrderID: id}).Cause())
	s.Cause.CorrelationID = correlation
	return postgres.InTx(context.Background(), f.pool, func(tx pgx.Tx) error {
		_, err := a.Mails.Run(context.Background(), tx, s)
		return err
	})
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// round makes one round of a worker and returns the number of its mails.
func (f *fixture) round(a *App) int {
	f.t.Helper()
	n, err := a.sendRound(f.t.Context())
	f.must(err)
	return n
}

func (f *fixture) row(id string) db.Mail {
	f.t.Helper()
	row, err := db.New(f.pool).GetMail(context.Background(), id)
	f.must(err)
	return row
}

func (f *fixture) want(id string, s notification.State) db.Mail {
	f.t.Helper()
	row := f.row(id)
	if row.State != string(s) {
		f.t.Fatalf("the mail is %q, want %q: %+v", row.State, s, row)
	}
	return row
}

// wantMail checks that the order's mail arrived once, and that no other mail did.
func (f *fixture) wantMail(ids ...string) {
	f.t.Helper()
	var want []string
	for _, id := range ids {
		want = append(want, "mail-"+id+" ada@example.com Your order "+id+"\nDear Ada Lovelace,\n\nthank you for your order "+id+":\n\n"+
			"  2 x WIDGET-01 at 29.99 GBP\n  1 x GADGET-05 at 40.00 GBP\n\nTotal: 99.98 GBP\n")
	}
	if diff := cmp.Diff(want, f.mailbox.Arrived()); diff != "" {
		f.t.Errorf("arrived (-want +got):\n%s", diff)
	}
}

// work runs the worker until the test ends or stop is called.
func (f *fixture) work(a *App) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.SendMails(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("the worker ended with %v", err)
		}
	})
	f.t.Cleanup(stop)
	return stop
}

func (f *fixture) await(id string, s notification.State) {
	f.t.Helper()
	kafkatest.Eventually(f.t, "the mail to be "+string(s), func() bool { return f.row(id).State == string(s) })
}
