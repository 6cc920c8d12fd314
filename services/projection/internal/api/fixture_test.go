package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/projection/internal/api"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/fresh"
)

// fixture is the HTTP edge of the read models on the test's own database.
type fixture struct {
	t    *testing.T
	pool *pgxpool.Pool
	app  *app.App
	http http.Handler

	waiting *fresh.Waiting
	lag     *fresh.Lag
	parked  map[string]bool // orders; set before the first request
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureWith(t, fresh.Config{})
}

// newFixtureWith is newFixture with settings of the reads that wait.
func newFixtureWith(t *testing.T, cfg fresh.Config) *fixture {
	t.Helper()
	t.Parallel()
	own := postgres.Component{Name: "projection", FS: os.DirFS("../../migrations")}
	f := &fixture{t: t, pool: pgtest.NewDB(t, outbox.Component(), inbox.Component(), own)}
	f.app = app.New(f.pool)
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Versions = f.app.Versions
	cfg.Parked = func(ctx context.Context, keys []string) (map[string]bool, error) { return f.parked, nil }
	f.waiting, f.lag = fresh.New(cfg), fresh.NewLag(fresh.LagConfig{})
	f.app.Reached = f.waiting.Reached
	if f.http, err = api.NewHandler(spec, f.app, f.waiting, f.lag, prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	return f
}

func receive[T event.Event](f *fixture, handle func(consumer.Event[T]) app.Fact, version int64, data T) uuid.UUID {
	f.t.Helper()
	typ := events.TypeOf[T]()
	e := consumer.Event[T]{Data: data, Topic: typ.Topic}
	e.ID, e.Type, e.AggregateVersion = uuid.Must(uuid.NewV7()), typ.Name, version
	var decisions []reaction.Decision[app.Order]
	err := postgres.InTx(f.t.Context(), f.pool, func(tx pgx.Tx) (err error) {
		decisions, err = f.app.ReadModels.Run(f.t.Context(), tx, f.app.ReadModels.Step(data.AggregateKey(), handle(e), e.Cause()))
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	reaction.Committed(f.t.Context(), decisions...)
	return e.ID
}

// order creates an order of quantity pieces at price and returns its id.
func (f *fixture) order(customer, currency string, quantity int32, price int64) string {
	f.t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	receive(f, app.OnOrderCreated, 1, created(id, customer, currency, quantity, price))
	return id
}

func created(id, customer, currency string, quantity int32, price int64) events.OrderCreated {
	return events.OrderCreated{
		OrderID: id, Customer: events.Customer{ID: customer, Name: "Ada", Email: "ada@example.com"},
		ShippingAddress: events.Address{Street: "1 Test St", City: "London", PostalCode: "N1", Country: "GB"},
		Items:           []events.OrderItem{{SKU: "WIDGET", Quantity: quantity, UnitPrice: price}},
		TotalAmount:     int64(quantity) * price, Currency: currency, OccurredAt: noon,
	}
}

// get sends a GET request and decodes the answer into v. Numbers keep their text.
func (f *fixture) get(path string, status int, v any) {
	f.t.Helper()
	res := httptest.NewRecorder()
	f.http.ServeHTTP(res, httptest.NewRequestWithContext(f.t.Context(), http.MethodGet, path, nil))
	if res.Code != status {
		f.t.Fatalf("GET %s: %d, want %d: %s", path, res.Code, status, res.Body)
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		f.t.Fatalf("GET %s: %v", path, err)
	}
}

// ids lists the orders of one page.
func (f *fixture) ids(path string) []string {
	f.t.Helper()
	var page api.OrderPage
	f.get(path, http.StatusOK, &page)
	out := []string{}
	for _, o := range page.Orders {
		out = append(out, o.OrderId.String())
	}
	return out
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
