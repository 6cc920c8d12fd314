package outbox

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"eventshop.example/pkg/postgres"
)

// Environment of a test binary that runs as a relay and nothing else, so that a
// test can freeze and kill it.
const (
	helperURL     = "OUTBOX_TEST_RELAY_DATABASE"
	helperBrokers = "OUTBOX_TEST_RELAY_BROKERS"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(helperURL); url != "" {
		if err := relayProcess(url, strings.Split(os.Getenv(helperBrokers), ",")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func relayProcess(url string, brokers []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	pool, err := postgres.Open(ctx, postgres.Config{URL: url})
	if err != nil {
		return err
	}
	defer pool.Close()
	// Small batches, so that a freeze finds it between the first and the last.
	return NewRelay(pool, New(nil, "/test"), RelayConfig{
		Brokers: brokers, Lease: testLease, BatchSize: 20, MaxInFlight: 60, PollEvery: 20 * time.Millisecond,
	}).Run(ctx)
}
