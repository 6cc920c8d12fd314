package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order/internal/api"
	"eventshop.example/services/order/internal/app"
)

// fixture is the HTTP API on its own database.
type fixture struct {
	t      testing.TB
	url    string
	pool   *pgxpool.Pool
	app    *app.App
	routes routers.Router
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return newFixtureWith(t, app.Config{})
}

// newFixtureWith is newFixture with settings of the use cases.
func newFixtureWith(t testing.TB, cfg app.Config) *fixture {
	t.Helper()
	return fixtureOn(t, newDB(t), cfg)
}

// newDB returns a pool to a new database with the service's tables.
func newDB(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return pgtest.NewDB(t, eventstore.Component(), outbox.Component(), httpapi.IdempotencyComponent(),
		postgres.Component{Name: "order", FS: os.DirFS("../../migrations")})
}

// fixtureOn is the API with a pool of the test's own.
func fixtureOn(t testing.TB, pool *pgxpool.Pool, cfg app.Config) *fixture {
	t.Helper()
	codec := schematest.Start(t).Codec(events.Catalogue())
	out := outbox.New(outbox.Config{Source: "/eventshop/order", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode})
	cfg.Pool, cfg.Outbox = pool, out
	a := app.New(cfg)
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	handler, err := api.NewHandler(spec, a, pool, out.Wake, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	doc, err := openapi3.NewLoader().LoadFromData(spec)
	if err != nil {
		t.Fatal(err)
	}
	routes, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, url: server.URL, pool: pool, app: a, routes: routes}
}

// answer is the response. Body is nil when it is no JSON object.
type answer struct {
	Status int
	Header http.Header
	Text   string
	Body   map[string]any // numbers as json.Number
}

func (f *fixture) do(method, path, body string, header ...string) answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Del(header[i]); header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	a := answer{Status: res.StatusCode, Header: res.Header, Text: string(text)}
	f.promised(req, a)
	decoder := json.NewDecoder(strings.NewReader(a.Text))
	decoder.UseNumber()
	if decoder.Decode(&a.Body) != nil {
		a.Body = nil
	}
	return a
}

// promised checks that openapi.yaml describes the answer.
func (f *fixture) promised(req *http.Request, a answer) {
	f.t.Helper()
	route, params, err := f.routes.FindRoute(req)
	if err != nil {
		return // no route of the document
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 a.Status, Header: a.Header,
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input.SetBodyBytes([]byte(a.Text))); err != nil {
		f.t.Errorf("%s %s: the answer is not as openapi.yaml promises: %v", req.Method, req.URL.Path, err)
	}
}

// fields returns the fields or parameters that a problem document names.
func (a answer) fields() []string {
	var names []string
	list, _ := a.Body["errors"].([]any)
	for _, e := range list {
		if e, ok := e.(map[string]any); ok {
			if name, ok := e["field"].(string); ok {
				names = append(names, name)
			}
		}
	}
	return names
}

func (f *fixture) count(table string) int {
	f.t.Helper()
	var n int
	if err := f.pool.QueryRow(context.Background(), `SELECT count(*) FROM `+pgx.Identifier{table}.Sanitize()).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// nothingWritten checks that the tables of the service are empty.
func (f *fixture) nothingWritten() {
	f.t.Helper()
	for _, table := range []string{"events", "outbox", "saga_deadlines", "stream_snapshots", "idempotency_keys"} {
		if n := f.count(table); n != 0 {
			f.t.Errorf("%d rows in %s", n, table)
		}
	}
}

// place returns the id of a new order.
func (f *fixture) place() string {
	f.t.Helper()
	a := f.do("POST", "/orders", cart)
	if a.Status != http.StatusCreated {
		f.t.Fatalf("place: %d %s", a.Status, a.Text)
	}
	return a.Body["orderId"].(string)
}

// mustReceive handles an event in a transaction, as the consumer does.
func mustReceive[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, data T) {
	f.t.Helper()
	e := consumer.Event[T]{Envelope: event.Envelope{ID: uuid.Must(uuid.NewV7())}, Data: data}
	err := postgres.InTx(context.Background(), f.pool, func(tx pgx.Tx) error {
		_, err := f.app.Orders.Run(context.Background(), tx, f.app.Orders.Step(data.AggregateKey(), input(e), e.Cause()))
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// cart is the example of event-carried state transfer in the seed.
const cart = `{
  "customer": {"id": "cust-7", "name": "Ada Lovelace", "email": "ada@example.com"},
  "shippingAddress": {"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA"},
  "items": [
    {"sku": "WIDGET-01", "quantity": 2, "unitPrice": 29.99},
    {"sku": "GADGET-05", "quantity": 1, "unitPrice": 40.01}
  ],
  "totalAmount": 99.99,
  "currency": "GBP"
}`
