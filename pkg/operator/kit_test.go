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
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// TestMain keeps the lines of some hundred requests out of the output.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// bench is the API of one group over a database of its own.
type bench struct {
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

func newBench(t testing.TB) *bench {
	t.Helper()
	db := pgtest.NewSeparate(t, outbox.Component(), retry.Component())
	db.Migrate(t)
	b := &bench{t: t, pool: db.App(t), registry: schematest.Start(t), log: &logBuffer{}, prepared: true}
	b.codec = b.registry.Codec()
	b.outbox = outbox.New(b.codec, "/test")
	b.store = retry.New("payment", b.outbox)
	b.handler = b.newHandler(b.registry.Codec())
	document, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if b.spec, err = httpapi.LoadSpec(document); err != nil {
		t.Fatal(err)
	}
	if b.routes, err = legacy.NewRouter(b.spec); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) newHandler(codec *schema.Codec) http.Handler {
	h, err := operator.Handler(operator.Config{
		Store: b.store, Pool: b.pool, Outbox: b.outbox, Codec: codec, Prepared: func() bool { return b.prepared },
		Logger: slog.New(slog.NewJSONHandler(b.log, nil)), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		b.t.Fatal(err)
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

// answer is what the API said.
type answer struct {
	t      testing.TB
	Status int
	Text   string
}

// as reads the answer, which must have the status.
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

// refused checks a problem document. A field of "" is none.
func (a answer) refused(status int, field, says string) {
	a.t.Helper()
	p := as[httpapi.Problem](a, status)
	if field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != field) || !strings.Contains(a.Text, says) {
		a.t.Errorf("%s, want field %q and %q", a.Text, field, says)
	}
}

// do sends a request in ada's name. The answer must be one that the document has.
func (b *bench) do(method, target, body string, headers ...string) answer {
	b.t.Helper()
	return b.doWith(b.handler, method, target, body, headers...)
}

func (b *bench) doWith(h http.Handler, method, target, body string, headers ...string) answer {
	b.t.Helper()
	req := httptest.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(body))
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
	a := answer{b.t, w.Code, w.Body.String()}
	route, params, err := b.routes.FindRoute(req)
	if err != nil {
		return a // a path or method that the document does not know
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 a.Status, Header: w.Header(),
	}
	in.SetBodyBytes([]byte(a.Text))
	if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
		b.t.Errorf("%s %s: the answer is not as the document says: %v\n%s", method, target, err, a.Text)
	}
	return a
}

// event is a record of an event as the group reads it.
func (b *bench) event(e events.Event, changes ...func(*events.Envelope)) retry.Record {
	b.t.Helper()
	r := kafkatest.Record(b.t, b.codec, e, changes...)
	b.offset++
	return retry.Record{
		Topic: r.Topic, Partition: 2, Offset: b.offset, Time: time.Now().UTC().Truncate(time.Microsecond),
		Key: r.Key, Value: r.Value, Headers: kafkatest.Headers(r),
	}
}

func (b *bench) placed(order string) retry.Record {
	b.t.Helper()
	return b.event(events.InventoryReserved{
		OrderID: order, ReservationID: "r-" + order, Items: []events.ReservedItem{{SKU: "A", Quantity: 2}}, OccurredAt: time.UnixMicro(1).UTC(),
	})
}

// bury makes a record that failed with cause a dead letter.
func (b *bench) bury(r retry.Record, parks bool, cause error) (id uuid.UUID) {
	b.t.Helper()
	l := retry.Letter{
		Record: r, InboxID: uuid.Must(uuid.NewV7()), Parks: parks,
		Failure: retry.Failure{}.Failed(cause, []byte("stack of it"), time.Now().UTC().Truncate(time.Microsecond)),
	}
	if env, err := events.ParseEnvelope(r.Headers); err == nil {
		l.EventType = env.Type
		if parks {
			l.EventID = env.ID
		}
	}
	b.tx(func(tx pgx.Tx) (err error) {
		id, err = b.store.Bury(b.t.Context(), tx, l)
		return err
	})
	return id
}

func (b *bench) failed(order string) uuid.UUID {
	b.t.Helper()
	return b.bury(b.placed(order), true, errs.New(errs.Invalid, "amount of %s is negative", order))
}

// follow parks n records behind the head of a key.
func (b *bench) follow(order string, n int) {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) error {
		for range n {
			f := retry.Follower{Record: b.placed(order), InboxID: uuid.Must(uuid.NewV7()), EventType: "InventoryReserved"}
			if err := b.store.Follow(b.t.Context(), tx, f); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) tx(fn func(tx pgx.Tx) error) {
	b.t.Helper()
	if err := postgres.InTx(context.Background(), b.pool, fn); err != nil {
		b.t.Fatal(err)
	}
}

// retries returns what is in the outbox for the group's retry topic.
func (b *bench) retries(topic string) (heads []retry.Head) {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), `SELECT key, payload, headers FROM outbox WHERE topic = $1 ORDER BY seq`, events.RetryTopic(topic, "payment").Name)
	if err != nil {
		b.t.Fatal(err)
	}
	for rows.Next() {
		var key, value []byte
		var headers []events.Header
		if err := rows.Scan(&key, &value, &headers); err != nil {
			b.t.Fatal(err)
		}
		h, _, err := retry.ParseHead("payment", key, value, headers)
		if err != nil {
			b.t.Fatal(err)
		}
		heads = append(heads, h)
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	return heads
}

// snapshot is all there is, as text.
func (b *bench) snapshot() (all string) {
	b.t.Helper()
	err := b.pool.QueryRow(b.t.Context(), `SELECT concat(
		(SELECT json_agg(d ORDER BY id) FROM dead_letters d), (SELECT json_agg(a ORDER BY id) FROM dead_letter_actions a),
		(SELECT json_agg(k ORDER BY topic, key) FROM parked_keys k), (SELECT json_agg(r ORDER BY position) FROM parked_records r),
		(SELECT json_agg(o ORDER BY seq) FROM outbox o))`).Scan(&all)
	if err != nil {
		b.t.Fatal(err)
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

// Answers as a client sees them.
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
