package inventory

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

// TestNoConnectionForInventory: at the limit of its role's connections the service answers 503 and when to
// try again, not 500, and goes on by itself.
func TestNoConnectionForInventory(t *testing.T) {
	t.Parallel()
	db := pgtest.NewSeparate(t, Components()...)
	db.Migrate(t)
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	cfg := Config{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait,
		Brokers: []string{"127.0.0.1:1"}, RegistryURL: "http://127.0.0.1:1", InitialStock: map[string]int64{"WIDGET-01": 5},
	}
	go func() { ended <- Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the service ended with: %v", err)
		}
	})
	get := func() (status int, retryAfter, body string) {
		res, err := http.Get("http://" + cfg.Addr + "/stock/WIDGET-01")
		if err != nil {
			return 0, "", err.Error()
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, res.Header.Get("Retry-After"), string(text)
	}
	answers := func(want int) func() bool {
		return func() bool { status, _, _ := get(); return status == want }
	}
	kafkatest.Eventually(t, "answers", answers(http.StatusOK))
	db.NoRoom(t, func() {
		for range 3 {
			if status, retryAfter, body := get(); status != http.StatusServiceUnavailable || retryAfter == "" {
				t.Errorf("without a connection: %d, Retry-After %q, %s", status, retryAfter, body)
			}
		}
	})
	kafkatest.Eventually(t, "answers again", answers(http.StatusOK))
}
