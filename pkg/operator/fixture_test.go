package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// TestMain keeps the log lines of some hundred requests out of the output.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// fixture is the API of one group over a database of its own.
type fixture struct {
	t        testing.TB
	pool     *pgxpool.Pool
	store    *retry.Store
	outbox   *outbox.Outbox
	codec    *schema.Codec
	registry *schematest.Registry
	handler  http.Handler
	log      *logBuffer
	spec     *openapi3.T
	routes   routers.Router
	prepared bool
	offset   int64
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	db := pgtest.NewSeparate(t, outbox.Component(), retry.Component())
	db.Migrate(t)
	f := &fixture{t: t, pool: db.App(t), registry: schematest.Start(t), log: &logBuffer{}, prepared: true}
	f.codec = f.registry.Codec(sample.Catalogue())
	f.outbox = outbox.New(outbox.Config{Source: "/test", Types: f.codec.Types(), Encode: f.codec.Encode, CanEncode: f.codec.CanEncode})
	f.store = retry.New("doors", f.outbox)
	f.handler = f.newHandler(f.registry.Codec(sample.Catalogue()))
	document, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if f.spec, err = httpapi.LoadSpec(document); err != nil {
		t.Fatal(err)
	}
	if f.routes, err = legacy.NewRouter(f.spec); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) newHandler(codec *schema.Codec) http.Handler {
	h, err := operator.Handler(operator.Config{
		Store: f.store, Pool: f.pool, Outbox: admin.Admin{Pool: f.pool, Wake: f.outbox.Wake}, Codec: codec, Prepared: func() bool { return f.prepared },
		Logger: slog.New(slog.NewJSONHandler(f.log, nil)), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return h
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.buf.String(), "\n"), "\n")
}

// answer is a response of the API.
type answer struct {
	t      testing.TB
	Status int
	Text   string
}

// as decodes the response, which must have the status.
func as[T any](a answer, status int) (v T) {
	a.t.Helper()
	if a.Status != status {
		a.t.Fatalf("status %d, want %d: %s", a.Status, status, a.Text)
	}
	if err := json.Unmarshal([]byte(a.Text), &v); err != nil {
		a.t.Fatalf("%v: %s", err, a.Text)
	}
	return v
}

// refused checks a problem document. A field of "" means none.
func (a answer) refused(status int, field, says string) {
	a.t.Helper()
	p := as[httpapi.Problem](a, status)
	if field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != field) || !strings.Contains(a.Text, says) {
		a.t.Errorf("%s, want field %q and %q", a.Text, field, says)
	}
}

// do sends a request in ada's name. The document must contain the response.
func (f *fixture) do(method, target, body string, headers ...string) answer {
	f.t.Helper()
	return f.doWith(f.handler, method, target, body, headers...)
}

func (f *fixture) doWith(h http.Handler, method, target, body string, headers ...string) answer {
	f.t.Helper()
	req := httptest.NewRequestWithContext(f.t.Context(), method, target, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if method != http.MethodGet {
		req.Header.Set("X-Operator", "ada")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Del(headers[i])
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	a := answer{f.t, w.Code, w.Body.String()}
	route, params, err := f.routes.FindRoute(req)
	if err != nil {
		return a // a path or method that is not in the document
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 a.Status, Header: w.Header(),
	}
	in.SetBodyBytes([]byte(a.Text))
	if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
		f.t.Errorf("%s %s: the answer is not as the document says: %v\n%s", method, target, err, a.Text)
	}
	return a
}

// event returns a record of an event as the group reads it.
func (f *fixture) event(e event.Event, changes ...func(*event.Envelope)) retry.Record {
	f.t.Helper()
	r := kafkatest.Record(f.t, f.codec, e, changes...)
	f.offset++
	return retry.Record{
		Topic: r.Topic, Partition: 2, Offset: f.offset, Time: time.Now().UTC().Truncate(time.Microsecond),
		Key: r.Key, Value: r.Value, Headers: kafkatest.Headers(r),
	}
}

func (f *fixture) placed(order string) retry.Record {
	f.t.Helper()
	return f.event(sample.LockersReserved{
		ParcelID: order, ReservationID: "r-" + order, Items: []sample.ReservedLocker{{Size: "A", Quantity: 2}}, OccurredAt: time.UnixMicro(1).UTC(),
	})
}

// bury makes a record that failed with cause a dead letter.
func (f *fixture) bury(r retry.Record, parks bool, cause error) (id uuid.UUID) {
	f.t.Helper()
	l := retry.Letter{
		Record: r, InboxID: uuid.Must(uuid.NewV7()), Parks: parks,
		Failure: retry.Failure{}.Failed(cause, []byte("stack of it"), time.Now().UTC().Truncate(time.Microsecond)),
	}
	if env, err := event.ParseEnvelope(r.Headers); err == nil {
		l.EventType = env.Type
		if parks {
			l.EventID = env.ID
		}
	}
	f.tx(func(tx pgx.Tx) (err error) {
		id, err = f.store.Bury(f.t.Context(), tx, l)
		return err
	})
	return id
}

func (f *fixture) failed(order string) uuid.UUID {
	f.t.Helper()
	return f.bury(f.placed(order), true, errs.New(errs.Invalid, "amount of %s is negative", order))
}

// follow parks n records behind the head of a key.
func (f *fixture) follow(order string, n int) {
	f.t.Helper()
	f.tx(func(tx pgx.Tx) error {
		for range n {
			follower := retry.Follower{Record: f.placed(order), InboxID: uuid.Must(uuid.NewV7()), EventType: "LockersReserved"}
			if err := f.store.Follow(f.t.Context(), tx, follower); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *fixture) tx(fn func(tx pgx.Tx) error) {
	f.t.Helper()
	if err := postgres.InTx(context.Background(), f.pool, fn); err != nil {
		f.t.Fatal(err)
	}
}

// retries returns the group's retry-topic rows in the outbox.
func (f *fixture) retries(topic string) (heads []retry.Head) {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), `SELECT key, payload, headers FROM outbox WHERE topic = $1 ORDER BY seq`, event.RetryTopic(topic, "doors").Name)
	if err != nil {
		f.t.Fatal(err)
	}
	var key, value []byte
	var headers []event.Header
	_, err = pgx.ForEachRow(rows, []any{&key, &value, &headers}, func() error {
		h, _, err := retry.ParseHead("doors", key, value, headers)
		heads = append(heads, h)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return heads
}

// snapshot returns all tables as text.
func (f *fixture) snapshot() (all string) {
	f.t.Helper()
	err := f.pool.QueryRow(f.t.Context(), `SELECT concat(
		(SELECT json_agg(d ORDER BY id) FROM dead_letters d), (SELECT json_agg(a ORDER BY id) FROM dead_letter_actions a),
		(SELECT json_agg(k ORDER BY topic, key) FROM parked_keys k), (SELECT json_agg(r ORDER BY position) FROM parked_records r),
		(SELECT json_agg(o ORDER BY seq) FROM outbox o))`).Scan(&all)
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

func path(id uuid.UUID, more ...string) string {
	return "/dead-letters/" + strings.Join(append([]string{id.String()}, more...), "/")
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Responses as a client sees them.
type (
	summary struct {
		ID, Group, Topic, Key, EventID, EventType, ErrorClass, ErrorMessage, Status string
		KeyBase64                                                                   []byte
		Attempts, Followers                                                         int
		Parks, Edited                                                               bool
	}
	header struct {
		Key         string  `json:"key,omitempty"`
		KeyBase64   []byte  `json:"keyBase64,omitempty"`
		Value       *string `json:"value,omitempty"`
		ValueBase64 []byte  `json:"valueBase64,omitempty"`
	}
	detail struct {
		summary
		ErrorStack    string
		Headers       []header
		Payload       map[string]any
		PayloadBase64 []byte
		DecodeError   string
		SchemaSubject string
		EditedRecord  *struct {
			Key           *string
			KeyBase64     []byte
			Headers       []header
			Payload       map[string]any
			PayloadBase64 []byte
			DecodeError   string
		}
		Actions []struct {
			At                    time.Time
			Actor, Action, Detail string
		}
		Warnings []string
	}
	page struct {
		DeadLetters []summary
		Next        string
	}
	outcome struct {
		ID, Status, RetryID string
		Effect              bool
		FollowersReleased   int
		Warnings            []string
	}
)
