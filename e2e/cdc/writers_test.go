package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/ops/relay"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/outbox/admin"
	polling "eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
)

// control returns the control of the shop's relay, which uses its operators' API as operators do.
func (s *shop) control(t *testing.T) (relay.Control, relay.Service) {
	t.Helper()
	codec := schema.NewCodec(schema.NewClient("http://127.0.0.1:1"), events.Catalogue())
	h, err := operator.Handler(operator.Config{
		Store: retry.New(s.name, s.out), Pool: s.pool, Outbox: admin.Admin{Pool: s.pool, Wake: s.out.Wake}, Codec: codec, Prepared: func() bool { return true },
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.w.brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return relay.Control{Connect: s.w.connect, Kafka: client, By: "test", Say: func(what string) { t.Log(what) }},
		relay.Service{Name: s.name, Operators: []string{server.URL}, Database: s.cdc, Connector: s.connector("")}
}

// writers append events of their own orders until stopped. Their transactions overlap; some roll
// back or stay open for a while.
type writers struct {
	s       *shop
	written atomic.Int64
	stop    func()
}

func (s *shop) write(t *testing.T) *writers {
	t.Helper()
	w := &writers{s: s}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() { w.run(ctx, i) })
	}
	w.stop = func() { cancel(); all.Wait() }
	t.Cleanup(w.stop)
	return w
}

var errOnPurpose = errors.New("rolled back on purpose")

func (w *writers) run(ctx context.Context, id int) {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		order := fmt.Sprintf("w%d-%d", id, n%7)
		err := postgres.InTx(ctx, w.s.pool, func(tx pgx.Tx) error {
			var last int64
			if err := tx.QueryRow(ctx, `SELECT coalesce(max(ce_aggregateversion), 0) FROM outbox WHERE aggregate_id = $1`, order).Scan(&last); err != nil {
				return err
			}
			if err := w.s.out.Append(ctx, tx, w.s.event(order, last+1), w.s.event(order, last+2)); err != nil {
				return err
			}
			switch n % 20 {
			case 3:
				return errOnPurpose
			case 7: // commits long after later sequence numbers
				_, err := tx.Exec(ctx, `SELECT pg_sleep(0.2)`)
				return err
			}
			return nil
		})
		if err == nil {
			w.written.Add(2)
			w.s.out.Wake()
		}
		<-tick.C
	}
}

// more waits until n more events are written.
func (w *writers) more(t *testing.T, n int64) {
	t.Helper()
	target := w.written.Load() + n
	until(t, fmt.Sprintf("%d more events", n), func() bool { return w.written.Load() >= target })
}

// verify stops the writers. When everything is marked as published, it checks that the topic has
// every event of the outbox and no other, and that the first occurrences of each order's events are
// in version order.
func (w *writers) verify(t *testing.T) {
	t.Helper()
	w.stop()
	until(t, "everything to count as published", func() bool { return w.s.count(t, "id IN (SELECT id FROM outbox_queue)") == 0 })
	rows, err := w.s.pool.Query(t.Context(), `SELECT aggregate_id, max(ce_aggregateversion), count(*) FROM outbox GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	var order string
	var last, n int64
	total := 0
	if _, err := pgx.ForEachRow(rows, []any{&order, &last, &n}, func() error {
		if n != last {
			t.Errorf("%s: the test wrote %d events up to version %d", order, n, last)
		}
		want[order] = last
		total += int(n)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	records := w.s.records(t)
	seen := map[string]int64{}
	for _, r := range records {
		key := string(r.Key)
		v, err := strconv.ParseInt(header(r, event.HeaderAggregateVersion), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case v == seen[key]+1:
			seen[key] = v
		case v > seen[key]:
			t.Errorf("%s: version %d came before %d", key, v, seen[key]+1)
			seen[key] = v
		}
	}
	for order, last := range want {
		if seen[order] != last {
			t.Errorf("%s: versions up to %d arrived, want %d", order, seen[order], last)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("the topic has %d orders, the outbox %d", len(seen), len(want))
	}
	t.Logf("%d events, %d records, %d repetitions", total, len(records), len(records)-total)
}

// waitReady waits until the relay is ready.
func waitReady(t *testing.T, r *polling.Relay) {
	t.Helper()
	until(t, "the relay to be ready", func() bool { return r.Ready() == nil })
}
