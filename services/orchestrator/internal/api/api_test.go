package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/orchestrator"
	"eventshop.example/services/orchestrator/internal/api"
	"eventshop.example/services/orchestrator/internal/app"
)

const at = "2026-01-02T03:04:05Z"

// fixture is the HTTP API on its own database.
type fixture struct {
	t    testing.TB
	url  string
	pool *pgxpool.Pool
	woke atomic.Int32
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, pool: pgtest.NewDB(t, orchestrator.Components()...)}
	codec := schematest.Start(t).Codec(events.Catalogue())
	f.must(codec.Register(t.Context(), events.Catalogue().Types()...))
	now, err := time.Parse(time.RFC3339, at)
	f.must(err)
	a := app.New(app.Config{
		Begin: 1,
		Pool:  f.pool, Outbox: outbox.New(outbox.Config{Source: "/eventshop/orchestrator", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode}),
		Now: func() time.Time { return now },
	})
	spec, err := os.ReadFile("../../openapi.yaml")
	f.must(err)
	handler, err := api.NewHandler(spec, a, f.pool, f.pool, func() { f.woke.Add(1) }, prometheus.NewRegistry())
	f.must(err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// row stores a saga. set is the part of an UPDATE that sets the columns that the test needs.
func (f *fixture) row(set string) (id string) {
	f.t.Helper()
	id = uuid.Must(uuid.NewV7()).String()
	_, err := f.pool.Exec(context.Background(), `INSERT INTO sagas (order_id, definition, state, correlation_id, log_lines, started_at, changed_at)
		VALUES ($1, 1, '', $1, 1, $2, $2)`, id, at)
	f.must(err)
	_, err = f.pool.Exec(context.Background(), `UPDATE sagas SET `+set+` WHERE order_id = $1`, id)
	f.must(err)
	_, err = f.pool.Exec(context.Background(), `INSERT INTO saga_log (order_id, n, at, input, event_id, action, from_state, to_state, command, command_id, detail)
		VALUES ($1, 1, $2, 'OrderCreated', 'e-1', 'apply', '', 'CHARGING', 'ChargePayment', 'c-1', '')`, id, at)
	f.must(err)
	return id
}

func (f *fixture) do(method, path string, headers ...string) (int, http.Header, string) {
	f.t.Helper()
	return f.post(method, path, "", headers...)
}

// post is do with a body of JSON; "" is none.
func (f *fixture) post(method, path, body string, headers ...string) (int, http.Header, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, f.url+path, strings.NewReader(body))
	f.must(err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	f.must(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	f.must(err)
	return res.StatusCode, res.Header, string(answer)
}

// same compares JSON, however it is spaced.
func (f *fixture) same(what, want, got string) {
	f.t.Helper()
	var a, b any
	f.must(json.Unmarshal([]byte(want), &a))
	f.must(json.Unmarshal([]byte(got), &b))
	if diff := cmp.Diff(a, b); diff != "" {
		f.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

const refunding = `state = 'REFUNDING', step = 'charge', attempt = 2, compensations_due = '{RefundPayment}', due_at = '2026-01-02T03:05:00Z', attention = 'look',
	reason = 'out_of_stock', detail = 'too few', version = 3, customer_id = 'cust-7'`

func TestGetSaga(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	back, forward := f.row(refunding), f.row(`state = 'CHARGING', step = 'charge', attempt = 1, version = 1`)
	log := `[{"n":1,"at":"` + at + `","input":"OrderCreated","eventId":"e-1","action":"apply","from":"NONE","to":"CHARGING","command":"ChargePayment","commandId":"c-1"}]`
	_, _, body := f.do(http.MethodGet, "/sagas/"+back)
	f.same("a saga that goes back", `{"orderId":"`+back+`","definition":1,"status":"REFUNDING","step":"charge","attempt":2,"compensationsDue":["RefundPayment"],
		"dueAt":"2026-01-02T03:05:00Z","attention":"look","reason":"out_of_stock","detail":"too few","version":3,"startedAt":"`+at+`","updatedAt":"`+at+`","log":`+log+`}`, body)
	_, _, body = f.do(http.MethodGet, "/sagas/"+forward)
	f.same("a saga that goes forward", `{"orderId":"`+forward+`","definition":1,"status":"CHARGING","step":"charge","attempt":1,"compensationsDue":[],
		"version":1,"startedAt":"`+at+`","updatedAt":"`+at+`","log":`+log+`}`, body)
}

// TestListSagas: the filters, alone and together, and the pages.
func TestListSagas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := map[string]string{}
	for _, name := range []string{"a CHARGING", "b CHARGING look", "c DELIVERED", "d CHARGING", "e NONE look"} {
		short, rest, _ := strings.Cut(name, " ")
		state, attention, _ := strings.Cut(rest, " ")
		if state == "NONE" {
			state = ""
		}
		ids[f.row(`state = '`+state+`', attention = '`+attention+`'`)] = short
	}
	list := func(query string) (names, next string) {
		t.Helper()
		status, _, body := f.do(http.MethodGet, "/sagas"+query)
		var page struct {
			Sagas []struct {
				OrderID string `json:"orderId"`
				Log     []any  `json:"log"`
			} `json:"sagas"`
			Next string `json:"nextCursor"`
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s", query, status, body)
		}
		for _, s := range page.Sagas {
			names += ids[s.OrderID]
			if s.Log != nil {
				t.Errorf("%s has logs", query)
			}
		}
		return names, page.Next
	}
	for query, want := range map[string]string{
		"": "abcde", "?state=CHARGING": "abd", "?attention=true": "be", "?attention=false": "abcde",
		"?state=CHARGING&attention=true": "b", "?state=NONE": "e", "?state=CANCELLED": "", "?limit=5": "abcde",
	} {
		if got, next := list(query); got != want || next != "" {
			t.Errorf("%s: %q, next %q, want %q", query, got, next, want)
		}
	}
	first, next := list("?state=CHARGING&limit=2")
	second, last := list("?state=CHARGING&limit=2&after=" + next)
	if first != "ab" || second != "d" || last != "" {
		t.Errorf("pages %q and %q, next %q", first, second, last)
	}
}

func TestRetrySaga(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.row(refunding)
	path := "/sagas/" + id + "/retry"
	status, _, first := f.do(http.MethodPost, path, "Idempotency-Key", "k1")
	if status != http.StatusAccepted || !strings.Contains(first, `"attempt":3`) || !strings.Contains(first, `"input":"Retry"`) {
		t.Fatalf("%d %s", status, first)
	}
	kafkatest.Eventually(t, "the relay to be woken", func() bool { return f.woke.Load() > 0 })
	// The same key gets the same answer and sends nothing.
	status, header, again := f.do(http.MethodPost, path, "Idempotency-Key", "k1")
	if status != http.StatusAccepted || again != first || header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("replay: %d %v %s", status, header, again)
	}
	if status, _, body := f.do(http.MethodPost, path); status != http.StatusAccepted || !strings.Contains(body, `"attempt":4`) {
		t.Errorf("without a key: %d %s", status, body)
	}
	var sent int
	f.must(f.pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE event_type = 'RefundPayment' AND aggregate_id = $1`, id).Scan(&sent))
	if sent != 2 {
		t.Errorf("%d commands were sent, want 2", sent)
	}
}

// TestAcknowledgeSaga: the attention ends once, and the log has who and why.
func TestAcknowledgeSaga(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.row(`state = 'CANCELLED', attention = 'look'`)
	path, body := "/sagas/"+id+"/acknowledge", `{"note":"the parcel came back"}`
	status, _, first := f.post(http.MethodPost, path, body, "Idempotency-Key", "k1", "X-Caller-Id", "ada")
	if status != http.StatusOK || strings.Contains(first, `"attention"`) || !strings.Contains(first, `"input":"Acknowledged"`) || !strings.Contains(first, `"detail":"ada: the parcel came back"`) {
		t.Fatalf("%d %s", status, first)
	}
	status, header, again := f.post(http.MethodPost, path, body, "Idempotency-Key", "k1", "X-Caller-Id", "ada")
	if status != http.StatusOK || again != first || header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("replay: %d %v %s", status, header, again)
	}
	if status, _, answer := f.post(http.MethodPost, path, body); status != http.StatusConflict || !strings.Contains(answer, "asks for no attention") {
		t.Errorf("without a key: %d %s", status, answer)
	}
	other := "/sagas/" + f.row(`state = 'CANCELLED', attention = 'look'`) + "/acknowledge"
	for _, bad := range []string{"", `{}`, `{"note":""}`, `{"note":7}`, `{"note":"a\u0000b"}`, `{"note":"` + strings.Repeat("x", 2001) + `"}`, `{"note":"a","state":"DELIVERED"}`, `{"note":"a","lines":0}`} {
		if status, _, answer := f.post(http.MethodPost, other, bad); status/100 != 4 || status == http.StatusConflict {
			t.Errorf("%.40s: %d %s", bad, status, answer)
		}
	}
	if status, _, answer := f.post(http.MethodPost, other, body); status != http.StatusOK || !strings.Contains(answer, `"detail":"the parcel came back"`) {
		t.Errorf("after bad input, without a name: %d %s", status, answer)
	}
}

func TestListDefinitions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.row(`state = 'CHARGING'`)
	f.row(`state = 'DELIVERED'`)
	f.row(`state = 'CANCELLED'`)
	f.row(`state = ''`) // contradicted itself
	f.row(`state = 'CANCELLED', definition = 0`)
	_, _, body := f.do(http.MethodGet, "/definitions")
	f.same("definitions", `{"definitions":[
		{"version":0,"steps":[],"newest":false,"begins":false,"running":0,"ended":1,"drained":true},
		{"version":1,"steps":["charge","reserve","schedule","confirm"],"newest":false,"begins":true,"running":1,"ended":3,"drained":false},
		{"version":2,"steps":["reserve","charge","schedule","confirm"],"newest":true,"begins":false,"running":0,"ended":0,"drained":false}]}`, body)
}

func TestBadInputIsAProblemNamingTheField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	unknown, confirmed := uuid.Must(uuid.NewV7()).String(), f.row(`state = 'CONFIRMED'`)
	for name, tt := range map[string]struct {
		method, path string
		status       int
		names        string
	}{
		"unknown saga":            {http.MethodGet, "/sagas/" + unknown, http.StatusNotFound, unknown},
		"unknown saga, retry":     {http.MethodPost, "/sagas/" + unknown + "/retry", http.StatusNotFound, unknown},
		"malformed id":            {http.MethodGet, "/sagas/%27--", http.StatusBadRequest, "orderId"},
		"malformed id, retry":     {http.MethodPost, "/sagas/42/retry", http.StatusBadRequest, "orderId"},
		"nothing to retry":        {http.MethodPost, "/sagas/" + confirmed + "/retry", http.StatusConflict, "CONFIRMED"},
		"unknown state":           {http.MethodGet, "/sagas?state=HAPPY", http.StatusBadRequest, "state"},
		"limit":                   {http.MethodGet, "/sagas?limit=501", http.StatusBadRequest, "limit"},
		"after":                   {http.MethodGet, "/sagas?after=%00", http.StatusBadRequest, "after"},
		"unknown query parameter": {http.MethodGet, "/sagas?verbose=1", http.StatusBadRequest, "verbose"},
		"wrong method":            {http.MethodDelete, "/sagas/" + confirmed, http.StatusMethodNotAllowed, ""},
		"unknown path":            {http.MethodGet, "/saga/" + confirmed, http.StatusNotFound, ""},
	} {
		status, header, body := f.do(tt.method, tt.path)
		if status != tt.status || header.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, tt.names) {
			t.Errorf("%s: %d %s %s", name, status, header.Get("Content-Type"), body)
		}
	}
}
