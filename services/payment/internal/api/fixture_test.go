package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/services/payment/internal/api"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
)

// fixture is the HTTP API on its own database. It has no gateway and no registry, because no HTTP
// operation calls them.
type fixture struct {
	t    testing.TB
	url  string
	pool *pgxpool.Pool
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	pool := pgtest.NewDB(t, outbox.Component(), httpapi.IdempotencyComponent(),
		postgres.Component{Name: "payment", FS: os.DirFS("../../migrations")})
	now, err := time.Parse(time.RFC3339, at)
	if err != nil {
		t.Fatal(err)
	}
	codec := schema.NewCodec(schema.NewClient("http://127.0.0.1:1"), events.Catalogue())
	a := app.New(app.Config{
		Pool: pool, Outbox: outbox.New(outbox.Config{Source: "/eventshop/payment", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode}),
		Gateway: gateway.New("http://127.0.0.1:1", 0, breaker.New(breaker.Config{})), Now: func() time.Time { return now },
	})
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	handler, err := api.NewHandler(spec, a, pool, pool, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &fixture{t: t, url: server.URL, pool: pool}
}

// row stores a payment. set is the part of an UPDATE that sets the columns that the test needs.
func (f *fixture) row(set string) (id string) {
	f.t.Helper()
	id = uuid.Must(uuid.NewV7()).String()
	_, err := f.pool.Exec(context.Background(), `
		INSERT INTO payments (order_id, state, correlation_id, created_at, updated_at) VALUES ($1, 'NONE', $1, $2, $2)`, id, at)
	if err == nil {
		_, err = f.pool.Exec(context.Background(), `UPDATE payments SET `+set+` WHERE order_id = $1`, id)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

func (f *fixture) do(method, path string, headers ...string) (int, http.Header, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, f.url+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}
