// Package httpapitest is for tests only. It checks that the HTTP edges of all services answer in
// the same way while the database is unavailable. It fails for an operation that no request of the
// test reaches, so that every new operation is tested.
package httpapitest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// patience bounds how long a service takes to answer again after its database has recovered.
const patience = 20 * time.Second

// Request is one request of a service's API.
type Request struct {
	Method, Path, Body string
	// Bad is true for a request that is answered with 4xx even while the database is unavailable.
	// Any other request needs the database.
	Bad bool
	// Header is what is sent besides the content type and an idempotency key.
	Header map[string]string
}

func (r Request) String() string { return r.Method + " " + r.Path }

// Outages sends each request while the database is unavailable: its server is closed, it has no
// connection left, or it ends the connection in the middle of a statement. Each response must be
// 503 with Retry-After, and 4xx for a bad request. After the database has recovered, no response
// may be a 5xx. A POST is sent with and without an idempotency key.
//
// db has the service's tables. handler returns the service's API on a pool; it may be called more
// than once. The API must be a router of [httpapi.NewRouter].
func Outages(t *testing.T, db *pgtest.Separate, handler func(pool *pgxpool.Pool) http.Handler, requests ...Request) {
	t.Helper()
	closed, err := postgres.Open(context.Background(), postgres.Config{URL: elsewhere(t, db.AppURL)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closed.Close)
	unreachable, api := handler(closed), handler(db.App(t))
	covers(t, api, requests)
	for _, r := range requests {
		away(t, "with the server closed", unreachable, r)
	}
	db.NoRoom(t, func() {
		for _, r := range requests {
			away(t, "with no connection left", api, r)
		}
	})
	answersAgain(t, api, requests)
	db.Cut(t, func() {
		for _, r := range requests {
			away(t, "with the connection ended", api, r)
		}
	})
	answersAgain(t, api, requests)
}

// elsewhere returns the URL with a port at which no server listens.
func elsewhere(t *testing.T, raw string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	query := u.Query()
	query.Del("host") // a folder of sockets, which would have precedence
	query.Del("port")
	u.RawQuery = query.Encode()
	return u.String()
}

// covers fails for an operation that no good request reaches.
func covers(t *testing.T, api http.Handler, requests []Request) {
	t.Helper()
	routes, ok := api.(chi.Routes)
	if !ok {
		t.Fatalf("the API is a %T, no router", api)
	}
	reached := map[string]bool{"GET /openapi.json": true} // needs no database
	for _, r := range requests {
		match := chi.NewRouteContext()
		path, _, _ := strings.Cut(r.Path, "?")
		if !r.Bad && routes.Match(match, r.Method, path) {
			reached[r.Method+" "+match.RoutePattern()] = true
		}
	}
	err := chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if !reached[method+" "+route] {
			return fmt.Errorf("no request reaches %s %s", method, route)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// away checks the responses to a request while the database is unavailable.
func away(t *testing.T, state string, api http.Handler, r Request) {
	t.Helper()
	for _, key := range r.keys() {
		res := send(t, api, r, key)
		problem := res.Header().Get("Content-Type") == "application/problem+json"
		switch {
		case r.Bad && (res.Code < 400 || res.Code > 499 || !problem):
			t.Errorf("%s: %s is answered with %d %s, want 4xx", state, r, res.Code, res.Body)
		case !r.Bad && (res.Code != http.StatusServiceUnavailable || res.Header().Get("Retry-After") == "" || !problem):
			t.Errorf("%s: %s is answered with %d, Retry-After %q, %s", state, r, res.Code, res.Header().Get("Retry-After"), res.Body)
		}
	}
}

// answersAgain waits until each request is answered with less than 500. A pool may need a few
// requests to detect that its connections are dead.
func answersAgain(t *testing.T, api http.Handler, requests []Request) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, r := range requests {
		for res := send(t, api, r, ""); res.Code >= 500; res = send(t, api, r, "") {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("with the database back: %s is answered with %d %s", r, res.Code, res.Body)
			}
		}
	}
}

// keys returns the idempotency keys that a request is sent with; "" is none.
func (r Request) keys() []string {
	if r.Method != http.MethodPost {
		return []string{""}
	}
	return []string{"", uuid.NewString()}
}

func send(t *testing.T, api http.Handler, r Request, key string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), r.Method, r.Path, strings.NewReader(r.Body))
	if r.Body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set(httpapi.HeaderIdempotencyKey, key)
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	res := httptest.NewRecorder()
	api.ServeHTTP(res, req)
	return res
}
