package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/pgtest"
)

// shop is a handler with an effect that can be counted, on a database of its own.
type shop struct {
	pool   *pgxpool.Pool
	scope  string
	before func(ctx context.Context, tx pgx.Tx) error // after the effect, before the commit
}

func newShop(t *testing.T) *shop {
	t.Helper()
	pool := pgtest.NewDB(t, httpapi.IdempotencyComponent())
	if _, err := pool.Exec(t.Context(), "CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, note text)"); err != nil {
		t.Fatal(err)
	}
	return &shop{pool: pool, scope: "POST /orders", before: func(context.Context, pgx.Tx) error { return nil }}
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request", "own") // as the middlewares do: belongs to the request, not to the answer
	httpapi.Idempotent(w, r, s.pool, s.scope, func(ctx context.Context, tx pgx.Tx) (int, any, error) {
		var id int64
		if err := tx.QueryRow(ctx, "INSERT INTO effect (note) VALUES ('x') RETURNING id").Scan(&id); err != nil {
			return 0, nil, err
		}
		w.Header().Set("Location", fmt.Sprintf("/orders/%d", id))
		if err := s.before(ctx, tx); err != nil {
			return 0, nil, err
		}
		if r.URL.Path == "/empty" {
			return http.StatusNoContent, nil, nil
		}
		return http.StatusCreated, map[string]any{"id": id, "z": 1, "a": "ü<"}, nil
	})
}

func (s *shop) count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSameKeyAndRequestReplaysTheSameBytes(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/orders", "/empty"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			first, _ := send(t, s, "POST", target, strings.NewReader(`{"a":1}`), "Idempotency-Key", "k")
			if first.Code >= 300 || first.Header().Get("Location") != "/orders/1" || first.Header().Get("Idempotency-Replayed") != "" {
				t.Fatalf("first answer: %d %v", first.Code, first.Header())
			}
			for range 2 {
				again, _ := send(t, s, "POST", target, strings.NewReader(`{"a":1}`), "Idempotency-Key", "k")
				if again.Code != first.Code || again.Body.String() != first.Body.String() ||
					again.Header().Get("Location") != "/orders/1" || again.Header().Get("Content-Type") != first.Header().Get("Content-Type") {
					t.Errorf("replayed %d %s %v, want %d %s", again.Code, again.Body, again.Header(), first.Code, first.Body)
				}
				if again.Header().Get("Idempotency-Replayed") != "true" {
					t.Error("a replayed answer does not say so")
				}
			}
			if n := s.count(t, "effect"); n != 1 {
				t.Errorf("%d effects, want 1", n)
			}
			var headers string
			if err := s.pool.QueryRow(t.Context(), "SELECT headers::text FROM idempotency_keys").Scan(&headers); err != nil {
				t.Fatal(err)
			}
			if headers != `{"Location": ["/orders/1"]}` {
				t.Errorf("stored headers %s, want only those of the answer", headers)
			}
		})
	}
}

func TestWhatAKeyIsAndIsNotTiedTo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, target, body, caller, scope string
		status, effects                     int
	}{
		"the same":      {"POST", "/orders", `{"a":1}`, "", "POST /orders", 201, 1},
		"other body":    {"POST", "/orders", `{"a":2}`, "", "POST /orders", 422, 1},
		"other space":   {"POST", "/orders", `{"a": 1}`, "", "POST /orders", 422, 1},
		"no body":       {"POST", "/orders", ``, "", "POST /orders", 422, 1},
		"other target":  {"POST", "/orders/7", `{"a":1}`, "", "POST /orders", 422, 1},
		"other query":   {"POST", "/orders?x=1", `{"a":1}`, "", "POST /orders", 422, 1},
		"other method":  {"PUT", "/orders", `{"a":1}`, "", "POST /orders", 422, 1},
		"other caller":  {"POST", "/orders", `{"a":1}`, "alice", "POST /orders", 201, 2},
		"named default": {"POST", "/orders", `{"a":1}`, "anonymous", "POST /orders", 201, 1},
		"other scope":   {"POST", "/orders", `{"a":1}`, "", "POST /refunds", 201, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			send(t, s, "POST", "/orders", strings.NewReader(`{"a":1}`), "Idempotency-Key", "k")
			s.scope = tt.scope
			header := []string{"Idempotency-Key", "k"}
			if tt.caller != "" {
				header = append(header, "X-Caller-Id", tt.caller)
			}
			w, p := send(t, s, tt.method, tt.target, strings.NewReader(tt.body), header...)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if tt.status == 422 {
				wantField(t, p, 422, "Idempotency-Key", "another request")
			}
			if n := s.count(t, "effect"); n != tt.effects {
				t.Errorf("%d effects, want %d", n, tt.effects)
			}
		})
	}
}

func TestKeysInFlight(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	s.before = func(context.Context, pgx.Tx) error {
		entered <- struct{}{}
		<-leave
		return nil
	}
	first := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		r := httptest.NewRequest("POST", "/orders", strings.NewReader("{}"))
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		first <- w
	}()
	<-entered
	for range 3 {
		w, p := send(t, s, "POST", "/orders", strings.NewReader("{}"), "Idempotency-Key", "k")
		if p.Status != 409 || w.Header().Get("Retry-After") == "" || w.Header().Get("Location") != "" || !strings.HasSuffix(p.Type, "idempotency-key-in-use") {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
	}
	leave <- struct{}{}
	if w := <-first; w.Code != 201 {
		t.Fatalf("first answer %d %s", w.Code, w.Body)
	}
	if w, _ := send(t, s, "POST", "/orders", strings.NewReader("{}"), "Idempotency-Key", "k"); w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("after the first: %d %s", w.Code, w.Body)
	}
	if n := s.count(t, "effect"); n != 1 {
		t.Errorf("%d effects, want 1", n)
	}
}

func TestManyAtOnceHaveOneEffect(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	codes := make(chan int, 20)
	for range cap(codes) {
		go func() {
			r := httptest.NewRequest("POST", "/orders", strings.NewReader("{}"))
			r.Header.Set("Idempotency-Key", "k")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
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
	if n := s.count(t, "effect"); n != 1 || created == 0 {
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
			s := newShop(t)
			works := s.before
			s.before = tt.before
			h := httpapi.Recover(s)
			w, p := send(t, h, "POST", "/orders", strings.NewReader("{}"), "Idempotency-Key", "k")
			if p.Status != tt.status || (name != "panic" && w.Header().Get("Location") != "") {
				t.Errorf("%d %s %v, want %d and no Location", w.Code, w.Body, w.Header(), tt.status)
			}
			if n := s.count(t, "effect") + s.count(t, "idempotency_keys"); n != 0 {
				t.Errorf("%d rows are left", n)
			}
			s.before = works // the same key can be tried again
			w, p = send(t, h, "POST", "/orders", strings.NewReader("{}"), "Idempotency-Key", "k")
			// The server notices later than its client that a connection is gone, and
			// holds the key for that long.
			for deadline := time.Now().Add(10 * time.Second); strings.HasSuffix(p.Type, "/idempotency-key-in-use") && time.Now().Before(deadline); {
				w, p = send(t, h, "POST", "/orders", strings.NewReader("{}"), "Idempotency-Key", "k")
			}
			if w.Code != 201 {
				t.Errorf("second try: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestWithoutAKeyEachRequestCounts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for range 2 {
		if w, _ := send(t, s, "POST", "/orders", strings.NewReader("{}")); w.Code != 201 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if effects, keys := s.count(t, "effect"), s.count(t, "idempotency_keys"); effects != 2 || keys != 0 {
		t.Errorf("%d effects, %d keys, want 2 and 0", effects, keys)
	}
}

func TestKeySyntax(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, header := range []string{"Idempotency-Key", "X-Caller-Id"} {
		for _, bad := range []string{"", strings.Repeat("k", 256), "a\tb", "ü", " a", "a\x7f", "\xff"} {
			_, p := send(t, s, "POST", "/orders", strings.NewReader("{}"), header, bad)
			wantField(t, p, 400, header, "printable ASCII")
		}
		r := httptest.NewRequest("POST", "/orders", strings.NewReader("{}"))
		r.Header[http.CanonicalHeaderKey(header)] = []string{"a", "b"}
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != 400 {
			t.Errorf("two %s: %d", header, w.Code)
		}
	}
	if n := s.count(t, "effect"); n != 0 {
		t.Errorf("%d effects of bad requests", n)
	}
	for _, good := range []string{"k", strings.Repeat("k", 255), `"8e03978e-40d5-43dd-bc93-6894a57f9324"`, "a b~!"} {
		if w, _ := send(t, s, "POST", "/orders", strings.NewReader("{}"), "Idempotency-Key", good, "X-Caller-Id", good); w.Code != 201 {
			t.Errorf("%s: %d %s", good, w.Code, w.Body)
		}
	}
}

func TestKeysExpireAndArePruned(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, key := range []string{"old", "old, used again", "young"} {
		send(t, s, "POST", "/orders", strings.NewReader("{}"), "Idempotency-Key", key)
	}
	age := func(interval, where string) {
		t.Helper()
		if _, err := s.pool.Exec(t.Context(), "UPDATE idempotency_keys SET created_at = now() - $1::interval WHERE key LIKE $2", interval, where); err != nil {
			t.Fatal(err)
		}
	}
	age("24 hours", "old%")
	age("23 hours 59 minutes", "young")
	w, _ := send(t, s, "POST", "/orders", strings.NewReader(`{"other":1}`), "Idempotency-Key", "old, used again")
	if w.Code != 201 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("an expired key: %d %s %v", w.Code, w.Body, w.Header())
	}
	if n, err := httpapi.PruneIdempotencyKeys(t.Context(), s.pool); n != 1 || err != nil {
		t.Errorf("pruned %d, %v, want 1", n, err)
	}
	for _, key := range []string{"old, used again", "young"} {
		body := map[bool]string{true: "{}", false: `{"other":1}`}[key == "young"]
		if w, _ := send(t, s, "POST", "/orders", strings.NewReader(body), "Idempotency-Key", key); w.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: %d %s", key, w.Code, w.Body)
		}
	}
	if n := s.count(t, "effect"); n != 4 {
		t.Errorf("%d effects, want 4", n)
	}
}

func TestPruneLoopPrunesAtOnceAndStops(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	send(t, s, "POST", "/orders", strings.NewReader("{}"), "Idempotency-Key", "k")
	if _, err := s.pool.Exec(t.Context(), "UPDATE idempotency_keys SET created_at = now() - interval '2 days'"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- httpapi.PruneLoop(s.pool)(ctx) }()
	for s.count(t, "idempotency_keys") > 0 { // each round is a query, and the test's deadline ends it
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
