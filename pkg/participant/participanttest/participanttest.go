// Package participanttest tests the behaviour that every participant must have. It runs the whole
// service on a real database. It is for tests only.
package participanttest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
	"eventshop.example/pkg/service"
)

// Nowhere is an address where no process listens.
const Nowhere = "127.0.0.1:1"

// Address returns an address on the loopback interface with a free port.
func Address(t *testing.T) string {
	t.Helper()
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// Start runs a service until the test ends. The test fails when the service ends with an error.
func Start(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the service ended with: %v", err)
		}
	})
}

// Answer is a service's answer to a GET. Status is 0 when it does not answer, and Body then has the
// reason.
type Answer struct {
	Status     int
	RetryAfter string
	Body       string
}

// Get sends a GET to the service at addr.
func Get(addr, path string) Answer {
	res, err := http.Get("http://" + addr + path)
	if err != nil {
		return Answer{Body: err.Error()}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{Body: err.Error()}
	}
	return Answer{Status: res.StatusCode, RetryAfter: res.Header.Get("Retry-After"), Body: string(text)}
}

// EverythingDown checks a service without database, broker and registry: it is alive, has a reason
// at /readyz for each of them, answers 503 to requests and to operators, and stops when its context
// ends. run runs it with the given settings and its own. path is a path of its API.
func EverythingDown(t *testing.T, path string, run func(context.Context, participant.Config) error) {
	t.Helper()
	cfg := participant.Config{
		Addr: Address(t), OperatorAddr: Address(t), DatabaseURL: "postgres://nobody@" + Nowhere + "/none",
		Brokers: []string{Nowhere}, RegistryURL: "http://" + Nowhere,
	}
	Start(t, func(ctx context.Context) error { return run(ctx, cfg) })
	kafkatest.Eventually(t, "service alive", func() bool { return Get(cfg.Addr, "/livez").Status == http.StatusOK })
	ready := Get(cfg.Addr, "/readyz")
	var report service.Report
	if err := json.Unmarshal([]byte(ready.Body), &report); err != nil || ready.Status != http.StatusServiceUnavailable {
		t.Fatalf("readyz: %+v", ready)
	}
	for _, check := range []string{"database", "schemas", "consumer"} {
		if reason := report.Checks[check]; reason == "" || reason == "ok" {
			t.Errorf("check %s says %q", check, reason)
		}
	}
	if _, ok := report.Checks["relay"]; !ok {
		t.Errorf("readyz says nothing about the relay: %s", ready.Body)
	}
	if a := Get(cfg.Addr, path); a.Status != http.StatusServiceUnavailable {
		t.Errorf("GET %s: %+v", path, a)
	}
	if a := Get(cfg.OperatorAddr, "/dead-letters"); a.Status != http.StatusServiceUnavailable {
		t.Errorf("GET /dead-letters: %+v", a)
	}
}

// NoConnection checks that the service answers 503 with Retry-After while its role has no
// connection left, and goes on by itself afterwards. It has neither broker nor registry. comps are
// the service's migrations. run runs it with the given settings and its own. The service answers
// path with the status want while it has connections.
func NoConnection(t *testing.T, comps []postgres.Component, path string, want int, run func(context.Context, participant.Config) error) {
	t.Helper()
	db := pgtest.NewSeparate(t, comps...)
	db.Migrate(t)
	cfg := participant.Config{
		Addr: Address(t), DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait,
		Brokers: []string{Nowhere}, RegistryURL: "http://" + Nowhere,
	}
	Start(t, func(ctx context.Context) error { return run(ctx, cfg) })
	answers := func() bool { return Get(cfg.Addr, path).Status == want }
	kafkatest.Eventually(t, "answers", answers)
	db.NoRoom(t, func() {
		for range 3 {
			if a := Get(cfg.Addr, path); a.Status != http.StatusServiceUnavailable || a.RetryAfter == "" {
				t.Errorf("without a connection: %d, Retry-After %q, %s", a.Status, a.RetryAfter, a.Body)
			}
		}
	})
	kafkatest.Eventually(t, "answers again", answers)
}
