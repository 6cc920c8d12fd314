package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// serve listens with the given limits, and answers POST /parcels and GET /parcels with the handlers.
func serve(t *testing.T, deadline, writeTimeout time.Duration, post, list http.HandlerFunc) *httptest.Server {
	t.Helper()
	router, err := httpapi.NewRouter(loadSpec(t), prometheus.NewRegistry(), httpapi.WithDeadline(deadline))
	if err != nil {
		t.Fatal(err)
	}
	router.Post("/parcels", post)
	router.Get("/parcels", list)
	server := httptest.NewUnstartedServer(router)
	server.Config.WriteTimeout = writeTimeout
	server.Start()
	t.Cleanup(server.Close)
	return server
}

type reply struct {
	status int
	header http.Header
	body   string
}

func request(t *testing.T, method, url, key string, body io.Reader) (reply, error) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		return reply{}, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set(httpapi.HeaderIdempotencyKey, key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(text)}, err
}

func mustRequest(t *testing.T, method, url, key string) reply {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(goodOrder)
	}
	a, err := request(t, method, url, key, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func unavailable(t *testing.T, what string, a reply) {
	t.Helper()
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("%s: %d, Retry-After %q, want 503 with one: %s", what, a.status, a.header.Get("Retry-After"), a.body)
	}
}

// TestALockedTableIsAnswered: more requests wait for a lock than there are connections. Each is
// answered with 503, a GET is answered meanwhile, no effect remains, and the same keys work later.
func TestALockedTableIsAnswered(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t, httpapi.IdempotencyComponent())
	pools, err := postgres.OpenPools(t.Context(), postgres.Config{URL: url}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pools.Close)
	f := &fixture{pool: pools.Writes, scope: "POST /parcels", before: func(context.Context, pgx.Tx) error { return nil }}
	if _, err := pools.Work.Exec(t.Context(), "CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, note text)"); err != nil {
		t.Fatal(err)
	}
	server := serve(t, 10*time.Second, 30*time.Second, f.ServeHTTP, func(w http.ResponseWriter, r *http.Request) {
		var n int
		if err := pools.Reads.QueryRow(r.Context(), "SELECT count(*) FROM effect").Scan(&n); err != nil {
			httpapi.WriteError(w, r, err)
			return
		}
		httpapi.WriteJSON(w, http.StatusOK, n)
	})
	lock, err := pools.Work.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback(context.Background())
	if _, err := lock.Exec(t.Context(), "LOCK TABLE idempotency_keys"); err != nil {
		t.Fatal(err)
	}
	var posts sync.WaitGroup
	for n := range 20 {
		posts.Go(func() {
			a, err := request(t, http.MethodPost, server.URL+"/parcels", fmt.Sprintf("key-%d", n), strings.NewReader(goodOrder))
			if err != nil {
				t.Errorf("no answer: %v", err)
				return
			}
			unavailable(t, "POST while the table is locked", a)
		})
	}
	kafkatest.Eventually(t, "all connections for writes to wait", func() bool {
		return pools.Writes.Stat().AcquiredConns() == pools.Writes.Config().MaxConns
	})
	if a := mustRequest(t, http.MethodGet, server.URL+"/parcels", ""); a.status != http.StatusOK {
		t.Errorf("GET while the POSTs wait: %d %s", a.status, a.body)
	}
	posts.Wait()
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := f.count(t, "effect"); n != 0 {
		t.Errorf("%d effects of requests that were answered 503", n)
	}
	for n := range 20 {
		if a := mustRequest(t, http.MethodPost, server.URL+"/parcels", fmt.Sprintf("key-%d", n)); a.status != http.StatusCreated {
			t.Errorf("the same key later: %d %s", a.status, a.body)
		}
	}
}

// TestAHandlerOutOfTimeIsAnswered: the deadline ends before the connection is cut, even for a
// request whose body took longer than the server allows for a response.
func TestAHandlerOutOfTimeIsAnswered(t *testing.T) {
	t.Parallel()
	slow := func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		httpapi.WriteError(w, r, errors.New("some error that has no kind"))
	}
	server := serve(t, 300*time.Millisecond, 500*time.Millisecond, slow, slow)
	unavailable(t, "a handler that waits", mustRequest(t, http.MethodGet, server.URL+"/parcels", ""))

	body, pipe := io.Pipe()
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for i := range len(goodOrder) {
			if i%20 == 0 {
				<-tick.C
			}
			if _, err := io.WriteString(pipe, goodOrder[i:i+1]); err != nil {
				return
			}
		}
		pipe.Close()
	}()
	a, err := request(t, http.MethodPost, server.URL+"/parcels", "", body)
	if err != nil {
		t.Fatalf("a body that came slowly: no answer: %v", err)
	}
	unavailable(t, "a body that came slowly", a)
}

// TestACommitWhoseOutcomeIsUnknown: the result of the commit does not arrive before the deadline.
// The client receives 503, and its repetition receives the stored response.
func TestACommitWhoseOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	// A constraint that is checked at the commit takes its time there, and then succeeds.
	for _, sql := range []string{
		`CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON effect DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION linger()`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	holder, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Rollback(context.Background())
	if _, err := holder.Exec(t.Context(), "SELECT pg_advisory_xact_lock(42)"); err != nil {
		t.Fatal(err)
	}
	server := serve(t, 300*time.Millisecond, 30*time.Second, f.ServeHTTP, nil)
	unavailable(t, "a commit that waits", mustRequest(t, http.MethodPost, server.URL+"/parcels", "one"))
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	var first reply
	kafkatest.Eventually(t, "the repetition to be answered", func() bool {
		first = mustRequest(t, http.MethodPost, server.URL+"/parcels", "one")
		return first.status == http.StatusCreated
	})
	again := mustRequest(t, http.MethodPost, server.URL+"/parcels", "one")
	if again.body != first.body || again.header.Get(httpapi.HeaderReplayed) != "true" {
		t.Errorf("repeated: %s, want %s, replayed", again.body, first.body)
	}
	if n := f.count(t, "effect"); n != 1 {
		t.Errorf("%d effects under one key, want 1", n)
	}
}

// TestTheKeysLockEndsWithItsTransaction: whatever the response, no session keeps the lock. A
// remaining lock would refuse the key to every other connection.
func TestTheKeysLockEndsWithItsTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	locks := func() (n int) {
		t.Helper()
		err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			WHERE l.locktype = 'advisory' AND d.datname = current_database()`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	server := serve(t, 10*time.Second, 30*time.Second, f.ServeHTTP, nil)
	for name, tc := range map[string]struct {
		before func(context.Context, pgx.Tx) error
		want   int
	}{
		"placed":  {func(context.Context, pgx.Tx) error { return nil }, 201},
		"refused": {func(context.Context, pgx.Tx) error { return errs.New(errs.Conflict, "no") }, 409},
		"panics":  {func(context.Context, pgx.Tx) error { panic("bug") }, 500},
	} {
		held := 0
		f.before = func(ctx context.Context, tx pgx.Tx) error { held = locks(); return tc.before(ctx, tx) }
		if a := mustRequest(t, http.MethodPost, server.URL+"/parcels", name); a.status != tc.want {
			t.Errorf("%s: %d, want %d", name, a.status, tc.want)
		}
		if after := locks(); held != 1 || after != 0 {
			t.Errorf("%s: %d locks while it is handled and %d after, want 1 and 0", name, held, after)
		}
	}
}

// TestFaultsOfTheServerAreNo4xx: a database error for a valid request is the server's fault. An
// unavailable database and an error in doubt are 503.
func TestFaultsOfTheServerAreNo4xx(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"a row in the way":               {postgres.Classify(&pgconn.PgError{Code: "23505"}), 500},
		"a row in the way, unclassified": {fmt.Errorf("insert: %w", &pgconn.PgError{Code: "23505"}), 500},
		"no partition":                   {postgres.Classify(&pgconn.PgError{Code: "23514"}), 500},
		"a missing value":                {postgres.Classify(&pgconn.PgError{Code: "23502"}), 500},
		"out of range":                   {postgres.Classify(&pgconn.PgError{Code: "22003"}), 500},
		"the handler says so":            {errs.New(errs.Conflict, "taken: %w", &pgconn.PgError{Code: "23505"}), 409},
		"too many connections":           {fmt.Errorf("load: %w", &pgconn.PgError{Code: "53300"}), 503},
		"no grant":                       {fmt.Errorf("load: %w", &pgconn.PgError{Code: "42501"}), 503},
		"no table":                       {postgres.Classify(&pgconn.PgError{Code: "42P01"}), 503},
		"read-only":                      {fmt.Errorf("insert: %w", &pgconn.PgError{Code: "25006"}), 503},
		"syntax":                         {fmt.Errorf("load: %w", &pgconn.PgError{Code: "42601"}), 500},
	} {
		w := httptest.NewRecorder()
		httpapi.WriteError(w, httptest.NewRequest(http.MethodGet, "/parcels", nil), tc.err)
		if w.Code != tc.want || (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: %d, Retry-After %q, want %d", name, w.Code, w.Header().Get("Retry-After"), tc.want)
		}
	}
}

// TestARefusalInDoubtIsLookedInto: the same SQLSTATE is 503 while a harmless write is refused as
// well, and 500 when only this request's write is refused.
func TestARefusalInDoubtIsLookedInto(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	server := serve(t, 10*time.Second, 30*time.Second, f.ServeHTTP, nil)
	if a := mustRequest(t, http.MethodPost, server.URL+"/parcels", ""); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, sql := range []string{
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			RAISE EXCEPTION 'database is not accepting commands to avoid wraparound' USING ERRCODE = '54000'; END $$`,
		`CREATE TRIGGER refuse BEFORE INSERT ON effect FOR EACH STATEMENT EXECUTE FUNCTION refuse()`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	unavailable(t, "every write is refused", mustRequest(t, http.MethodPost, server.URL+"/parcels", "k"))
	if _, err := f.pool.Exec(t.Context(), "DROP TRIGGER refuse ON effect"); err != nil {
		t.Fatal(err)
	}
	f.before = func(context.Context, pgx.Tx) error { return &pgconn.PgError{Code: "54000"} }
	if a := mustRequest(t, http.MethodPost, server.URL+"/parcels", "k"); a.status != http.StatusInternalServerError {
		t.Errorf("only this request is refused: %d %s", a.status, a.body)
	}
}
