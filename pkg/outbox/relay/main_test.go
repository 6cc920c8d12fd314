package relay

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"eventshop.example/pkg/outbox/outboxtest"
	"eventshop.example/pkg/postgres"
)

// Environment of a test binary that only runs a relay, so that a test can freeze and kill it.
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
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		// The tests spend most of their time waiting: for leases, brokers and polls.
		if err := flag.Set("test.parallel", strconv.Itoa(8*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
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
	// Small batches, so that a freeze happens between the first and the last.
	return New(pool, outboxtest.Outbox(), Config{
		Brokers: brokers, Lease: testLease, BatchSize: 20, MaxInFlight: 60, PollEvery: 20 * time.Millisecond,
	}).Run(ctx)
}
