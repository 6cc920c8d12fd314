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
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/consumer"
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

// kit is the HTTP API on a database of its own.
type kit struct {
	t      testing.TB
	url    string
	pool   *pgxpool.Pool
	app    *app.App
	routes routers.Router
}

func newKit(t testing.TB) *kit {
	t.Helper()
	pool := pgtest.NewDB(t, eventstore.Component(), outbox.Component(), httpapi.IdempotencyComponent(),
		postgres.Component{Name: "order", FS: os.DirFS("../../migrations")})
	out := outbox.New(schematest.Start(t).Codec(), "/eventshop/order")
	a := app.New(app.Config{Pool: pool, Outbox: out})
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
	return &kit{t: t, url: server.URL, pool: pool, app: a, routes: routes}
}

// answer is what came back. Body is nil when it is no JSON object.
type answer struct {
	Status int
	Header http.Header
	Text   string
	Body   map[string]any // numbers as json.Number
}

func (k *kit) do(method, path, body string, header ...string) answer {
	k.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, k.url+path, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
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
		k.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	a := answer{Status: res.StatusCode, Header: res.Header, Text: string(text)}
	k.promised(req, a)
	decoder := json.NewDecoder(strings.NewReader(a.Text))
	decoder.UseNumber()
	if decoder.Decode(&a.Body) != nil {
		a.Body = nil
	}
	return a
}

// promised checks that the answer is one that openapi.yaml describes.
func (k *kit) promised(req *http.Request, a answer) {
	k.t.Helper()
	route, params, err := k.routes.FindRoute(req)
	if err != nil {
		return // no route of the document
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 a.Status, Header: a.Header,
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input.SetBodyBytes([]byte(a.Text))); err != nil {
		k.t.Errorf("%s %s: the answer is not as openapi.yaml promises: %v", req.Method, req.URL.Path, err)
	}
}

// fields are the fields or parameters that a problem document names.
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

func (k *kit) count(table string) int {
	k.t.Helper()
	var n int
	if err := k.pool.QueryRow(context.Background(), `SELECT count(*) FROM `+pgx.Identifier{table}.Sanitize()).Scan(&n); err != nil {
		k.t.Fatal(err)
	}
	return n
}

// nothingWritten checks that no table of the service holds anything.
func (k *kit) nothingWritten() {
	k.t.Helper()
	for _, table := range []string{"events", "outbox", "saga_deadlines", "snapshots", "idempotency_keys"} {
		if n := k.count(table); n != 0 {
			k.t.Errorf("%d rows in %s", n, table)
		}
	}
}

// place gives the id of a new order.
func (k *kit) place() string {
	k.t.Helper()
	a := k.do("POST", "/orders", cart)
	if a.Status != http.StatusCreated {
		k.t.Fatalf("place: %d %s", a.Status, a.Text)
	}
	return a.Body["orderId"].(string)
}

// tell lets a reaction handle an event, in a transaction as the consumer's.
func tell[T events.Event](k *kit, reaction func(context.Context, pgx.Tx, consumer.Event[T]) error, data T) {
	k.t.Helper()
	err := postgres.InTx(context.Background(), k.pool, func(tx pgx.Tx) error {
		return reaction(context.Background(), tx, consumer.Event[T]{Data: data})
	})
	if err != nil {
		k.t.Fatal(err)
	}
}

// cart is the example of the seed's event-carried state transfer.
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
