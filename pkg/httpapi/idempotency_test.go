package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/pgtest"
)

// fixture is a handler with an effect that can be counted, on a database of its own.
type fixture struct {
	pool   *pgxpool.Pool
	scope  string
	before func(ctx context.Context, tx pgx.Tx) error // after the effect, before the commit
	amend  []httpapi.Amend

	committed atomic.Int32 // calls of Answer.Committed that saw the committed effect
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	pool := pgtest.NewDB(t, httpapi.IdempotencyComponent())
	if _, err := pool.Exec(t.Context(), "CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, note text)"); err != nil {
		t.Fatal(err)
	}
	return &fixture{pool: pool, scope: "POST /parcels", before: func(context.Context, pgx.Tx) error { return nil }}
}

func (f *fixture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request", "own") // as the middlewares do: belongs to the request, not to the answer
	httpapi.Idempotent(w, r, f.pool, f.scope, func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
		var id int64
		if err := tx.QueryRow(ctx, "INSERT INTO effect (note) VALUES ('x') RETURNING id").Scan(&id); err != nil {
			return httpapi.Answer{}, err
		}
		w.Header().Set("Location", fmt.Sprintf("/parcels/%d", id))
		if err := f.before(ctx, tx); err != nil {
			return httpapi.Answer{}, err
		}
		committed := func(ctx context.Context) {
			// Another connection sees the effect already.
			var there bool
			if err := f.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM effect WHERE id = $1)", id).Scan(&there); err == nil && there {
				f.committed.Add(1)
			}
		}
		if r.URL.Path == "/empty" {
			return httpapi.Answer{Status: http.StatusNoContent, Committed: committed}, nil
		}
		return httpapi.Answer{Status: http.StatusCreated, Body: map[string]any{"id": id, "z": 1, "a": "ü<"}, Committed: committed}, nil
	}, f.amend...)
}

func (f *fixture) count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := f.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCommittedIsCalledAfterTheCommit: once per effect, and neither for a replayed answer nor for a
// transaction that was rolled back.
func TestCommittedIsCalledAfterTheCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		name, target, key string
		fails             error
		want              int32
	}{
		{"first", "/orders", "k", nil, 1},
		{"replayed", "/orders", "k", nil, 1},
		{"failed", "/orders", "l", errs.New(errs.Conflict, "no"), 1},
		{"the same key after the failure", "/orders", "l", nil, 2},
		{"without content", "/empty", "m", nil, 3},
	} {
		f.before = func(context.Context, pgx.Tx) error { return c.fails }
		send(t, f, "POST", c.target, strings.NewReader(`{"a":1}`), "Idempotency-Key", c.key)
		if got := f.committed.Load(); got != c.want {
			t.Errorf("%s: called %d times, want %d", c.name, got, c.want)
		}
	}
}

func TestSameKeyAndRequestReplaysTheSameBytes(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/parcels", "/empty"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			first, _ := send(t, f, "POST", target, strings.NewReader(`{"a":1}`), "Idempotency-Key", "k")
			if first.Code >= 300 || first.Header().Get("Location") != "/parcels/1" || first.Header().Get("Idempotency-Replayed") != "" {
				t.Fatalf("first answer: %d %v", first.Code, first.Header())
			}
			for range 2 {
				again, _ := send(t, f, "POST", target, strings.NewReader(`{"a":1}`), "Idempotency-Key", "k")
				if again.Code != first.Code || again.Body.String() != first.Body.String() ||
					again.Header().Get("Location") != "/parcels/1" || again.Header().Get("Content-Type") != first.Header().Get("Content-Type") {
					t.Errorf("replayed %d %s %v, want %d %s", again.Code, again.Body, again.Header(), first.Code, first.Body)
				}
				if again.Header().Get("Idempotency-Replayed") != "true" {
					t.Error("a replayed answer does not say so")
				}
			}
			if n := f.count(t, "effect"); n != 1 {
				t.Errorf("%d effects, want 1", n)
			}
			var headers string
			if err := f.pool.QueryRow(t.Context(), "SELECT headers::text FROM idempotency_keys").Scan(&headers); err != nil {
				t.Fatal(err)
			}
			if headers != `{"Location": ["/parcels/1"]}` {
				t.Errorf("stored headers %s, want only those of the answer", headers)
			}
		})
	}
}

// TestAmend: an answer from the store can be completed, and is sent only if that succeeds. The first answer
// is as its function made it.
func TestAmend(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var fails error
	f.amend = []httpapi.Amend{func(_ context.Context, _ pgx.Tx, header http.Header, body []byte) error {
		header.Set("X-Amended", header.Get("Location")+" "+string(body))
		return fails
	}}
	post := func() *httptest.ResponseRecorder {
		w, _ := send(t, f, "POST", "/parcels", strings.NewReader("{}"), "Idempotency-Key", "k")
		return w
	}
	if w := post(); w.Code != 201 || w.Header().Get("X-Amended") != "" {
		t.Errorf("first: %d %v", w.Code, w.Header())
	}
	if w := post(); w.Code != 201 || w.Header().Get("X-Amended") != "/parcels/1 "+w.Body.String() {
		t.Errorf("replayed: %d %v", w.Code, w.Header())
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE idempotency_keys SET headers = 'null'`); err != nil {
		t.Fatal(err)
	}
	if w := post(); w.Code != 201 || w.Header().Get("X-Amended") != " "+w.Body.String() {
		t.Errorf("stored without headers: %d %v", w.Code, w.Header())
	}
	fails = errs.New(errs.Transient, "away")
	if w := post(); w.Code != 503 || w.Header().Get("X-Amended") != "" || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("not completed: %d %v", w.Code, w.Header())
	}
}

func TestWhatAKeyIsAndIsNotTiedTo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, target, body, caller, scope string
		status, effects                     int
	}{
		"the same":      {"POST", "/parcels", `{"a":1}`, "", "POST /parcels", 201, 1},
		"other body":    {"POST", "/parcels", `{"a":2}`, "", "POST /parcels", 422, 1},
		"other space":   {"POST", "/parcels", `{"a": 1}`, "", "POST /parcels", 422, 1},
		"no body":       {"POST", "/parcels", ``, "", "POST /parcels", 422, 1},
		"other target":  {"POST", "/parcels/7", `{"a":1}`, "", "POST /parcels", 422, 1},
		"other query":   {"POST", "/parcels?x=1", `{"a":1}`, "", "POST /parcels", 422, 1},
		"other method":  {"PUT", "/parcels", `{"a":1}`, "", "POST /parcels", 422, 1},
		"other caller":  {"POST", "/parcels", `{"a":1}`, "alice", "POST /parcels", 201, 2},
		"named default": {"POST", "/parcels", `{"a":1}`, "anonymous", "POST /parcels", 201, 1},
		"other scope":   {"POST", "/parcels", `{"a":1}`, "", "POST /refunds", 201, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			send(t, f, "POST", "/parcels", strings.NewReader(`{"a":1}`), "Idempotency-Key", "k")
			f.scope = tt.scope
			header := []string{"Idempotency-Key", "k"}
			if tt.caller != "" {
				header = append(header, "X-Caller-Id", tt.caller)
			}
			w, p := send(t, f, tt.method, tt.target, strings.NewReader(tt.body), header...)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if tt.status == 422 {
				wantField(t, p, 422, "Idempotency-Key", "another request")
			}
			if n := f.count(t, "effect"); n != tt.effects {
				t.Errorf("%d effects, want %d", n, tt.effects)
			}
		})
	}
}

func TestKeysInFlight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	f.before = func(context.Context, pgx.Tx) error {
		entered <- struct{}{}
		<-leave
		return nil
	}
	first := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		r := httptest.NewRequest("POST", "/parcels", strings.NewReader("{}"))
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		first <- w
	}()
	<-entered
	for range 3 {
		w, p := send(t, f, "POST", "/parcels", strings.NewReader("{}"), "Idempotency-Key", "k")
		if p.Status != 409 || w.Header().Get("Retry-After") == "" || w.Header().Get("Location") != "" || !strings.HasSuffix(p.Type, "idempotency-key-in-use") {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
	}
	leave <- struct{}{}
	if w := <-first; w.Code != 201 {
		t.Fatalf("first answer %d %s", w.Code, w.Body)
	}
	if w, _ := send(t, f, "POST", "/parcels", strings.NewReader("{}"), "Idempotency-Key", "k"); w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("after the first: %d %s", w.Code, w.Body)
	}
	if n := f.count(t, "effect"); n != 1 {
		t.Errorf("%d effects, want 1", n)
	}
}

func TestManyAtOnceHaveOneEffect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	codes := make(chan int, 20)
	for range cap(codes) {
		go func() {
			r := httptest.NewRequest("POST", "/parcels", strings.NewReader("{}"))
			r.Header.Set("Idempotency-Key", "k")
			w := httptest.NewRecorder()
			f.ServeHTTP(w, r)
			codes <- w.Code
		}()
	}
	created := 0
	for range cap(codes) {
		switch code := <-codes; code {
		case 201:
			created++
		case 409:
		default:
			t.Errorf("status %d", code)
		}
	}
	if n := f.count(t, "effect"); n != 1 || created == 0 {
		t.Errorf("%d effects and %d answers 201, want 1 and at least 1", n, created)
	}
}

func TestNothingIsLeftOfWhatDidNotCommit(t *testing.T) {
	t.Parallel()
	failures := map[string]struct {
		before func(ctx context.Context, tx pgx.Tx) error
		status int
	}{
		"refused":         {func(context.Context, pgx.Tx) error { return errs.New(errs.Conflict, "already shipped") }, 409},
		"bug":             {func(context.Context, pgx.Tx) error { return errors.New("bug") }, 500},
		"panic":           {func(context.Context, pgx.Tx) error { panic("bug") }, 500},
		"connection lost": {func(ctx context.Context, tx pgx.Tx) error { return tx.Conn().PgConn().Conn().Close() }, 503},
	}
	for name, tt := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			works := f.before
			f.before = tt.before
			h := httpapi.Recover(f)
			w, p := send(t, h, "POST", "/parcels", strings.NewReader("{}"), "Idempotency-Key", "k")
			if p.Status != tt.status || (name != "panic" && w.Header().Get("Location") != "") {
				t.Errorf("%d %s %v, want %d and no Location", w.Code, w.Body, w.Header(), tt.status)
			}
			if n := f.count(t, "effect") + f.count(t, "idempotency_keys"); n != 0 {
				t.Errorf("%d rows are left", n)
			}
			f.before = works // the same key can be tried again
			w, p = send(t, h, "POST", "/parcels", strings.NewReader("{}"), "Idempotency-Key", "k")
			// The server notices later than its client that a connection is closed, and locks the
			// key until then.
			for deadline := time.Now().Add(10 * time.Second); strings.HasSuffix(p.Type, "/idempotency-key-in-use") && time.Now().Before(deadline); {
				w, p = send(t, h, "POST", "/parcels", strings.NewReader("{}"), "Idempotency-Key", "k")
			}
			if w.Code != 201 {
				t.Errorf("second try: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestWithoutAKeyEachRequestCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 2 {
		if w, _ := send(t, f, "POST", "/parcels", strings.NewReader("{}")); w.Code != 201 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if effects, keys := f.count(t, "effect"), f.count(t, "idempotency_keys"); effects != 2 || keys != 0 {
		t.Errorf("%d effects, %d keys, want 2 and 0", effects, keys)
	}
}

func TestKeySyntax(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, header := range []string{"Idempotency-Key", "X-Caller-Id"} {
		for _, bad := range []string{"", strings.Repeat("k", 256), "a\tb", "ü", " a", "a\x7f", "\xff"} {
			_, p := send(t, f, "POST", "/parcels", strings.NewReader("{}"), header, bad)
			wantField(t, p, 400, header, "printable ASCII")
		}
		r := httptest.NewRequest("POST", "/parcels", strings.NewReader("{}"))
		r.Header[http.CanonicalHeaderKey(header)] = []string{"a", "b"}
		w := httptest.NewRecorder()
		if f.ServeHTTP(w, r); w.Code != 400 {
			t.Errorf("two %s: %d", header, w.Code)
		}
	}
	if n := f.count(t, "effect"); n != 0 {
		t.Errorf("%d effects of bad requests", n)
	}
	for _, good := range []string{"k", strings.Repeat("k", 255), `"8e03978e-40d5-43dd-bc93-6894a57f9324"`, "a b~!"} {
		if w, _ := send(t, f, "POST", "/parcels", strings.NewReader("{}"), "Idempotency-Key", good, "X-Caller-Id", good); w.Code != 201 {
			t.Errorf("%s: %d %s", good, w.Code, w.Body)
		}
	}
}

func TestKeysExpireAndArePruned(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, key := range []string{"old", "old, used again", "young"} {
		send(t, f, "POST", "/parcels", strings.NewReader("{}"), "Idempotency-Key", key)
	}
	age := func(interval, where string) {
		t.Helper()
		if _, err := f.pool.Exec(t.Context(), "UPDATE idempotency_keys SET created_at = now() - $1::interval WHERE key LIKE $2", interval, where); err != nil {
			t.Fatal(err)
		}
	}
	age("24 hours", "old%")
	age("23 hours 59 minutes", "young")
	w, _ := send(t, f, "POST", "/parcels", strings.NewReader(`{"other":1}`), "Idempotency-Key", "old, used again")
	if w.Code != 201 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("an expired key: %d %s %v", w.Code, w.Body, w.Header())
	}
	if n, err := httpapi.PruneIdempotencyKeys(t.Context(), f.pool); n != 1 || err != nil {
		t.Errorf("pruned %d, %v, want 1", n, err)
	}
	for _, key := range []string{"old, used again", "young"} {
		body := map[bool]string{true: "{}", false: `{"other":1}`}[key == "young"]
		if w, _ := send(t, f, "POST", "/parcels", strings.NewReader(body), "Idempotency-Key", key); w.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: %d %s", key, w.Code, w.Body)
		}
	}
	if n := f.count(t, "effect"); n != 4 {
		t.Errorf("%d effects, want 4", n)
	}
}

func TestPruneLoopPrunesAtOnceAndStops(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	send(t, f, "POST", "/parcels", strings.NewReader("{}"), "Idempotency-Key", "k")
	if _, err := f.pool.Exec(t.Context(), "UPDATE idempotency_keys SET created_at = now() - interval '2 days'"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- httpapi.PruneLoop(f.pool)(ctx) }()
	for f.count(t, "idempotency_keys") > 0 { // each round is a query, and the test's deadline ends it
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
