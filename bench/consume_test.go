package main

import (
	"errors"
	"os"
	"testing"

	"eventshop.example/bench/infra"
	"eventshop.example/bench/report"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres/server"
)

// newTestEnv returns what a benchmark needs for the smallest run.
func newTestEnv(t *testing.T) *env {
	t.Helper()
	if _, err := server.FindBinaries(t.Context()); errors.Is(err, server.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skipf("this test needs PostgreSQL: %v", err)
	}
	out, err := os.Create(t.TempDir() + "/progress")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return &env{options: options{quick: true, rounds: 1}, dir: t.TempDir(), progress: report.NewProgress(out)}
}

// All sides of the consumer do the same work: a row in each of the tables and an event per message.
func TestTheSidesOfTheConsumerDoTheSameWork(t *testing.T) {
	t.Parallel()
	e := newTestEnv(t)
	in, err := infra.Open(t.Context(), e.dir, events.TypeOf[events.OrderDelivered](), events.TypeOf[events.OrderShipped]())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	messages, err := deliveries(t.Context(), in, 200)
	if err != nil {
		t.Fatal(err)
	}
	r := report.New("consumer", "", report.Ours, inSets, single)
	for _, side := range r.Sides {
		if err := e.consumeOnce(t.Context(), r, in, side, messages, workOf(in)[side]); err != nil {
			t.Fatalf("%s: %v", side, err)
		}
	}
	if !in.Server.Counts() {
		t.Skip("the server has no pg_stat_statements")
	}
	statements := r.Find(statementsRow)
	if got := statements.Spread(single).Median; got != 5 { // inbox, load, two saves, outbox
		t.Errorf("%v statements per record, want 5", got)
	}
	if got := statements.Spread(inSets).Median; got != 5./200 {
		t.Errorf("%v statements per message in one set of 200, want 5/200", got)
	}
	// Each message's rows are a few hundred bytes of log, whichever side writes them.
	for _, over := range []string{inSets, single} {
		if got := r.Find(walRow).Ratio(over).Median; got < .5 || got > 2 {
			t.Errorf("the consumer writes %v times the log of %q", got, over)
		}
	}
}

// An idle relay polls, and a drain ends when all events are on the topic.
func TestThePumpDrainsAndIdles(t *testing.T) {
	t.Parallel()
	e := newTestEnv(t)
	in, err := infra.Open(t.Context(), e.dir, events.TypeOf[events.OrderCreated]())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	g := &growing{env: e, in: in, r: report.New("growth", "", report.Ours, empty), many: 400, some: 300}
	if err := g.side(t.Context(), "published rows", report.Ours, g.published); err != nil {
		t.Fatal(err)
	}
	if rate := g.r.Find("drain with published rows").Spread(report.Ours).Median; rate <= 0 {
		t.Errorf("%v events/s", rate)
	}
	if in.Server.Counts() {
		if buffers := g.r.Find(emptyPoll("published rows")).Spread(report.Ours).Median; buffers < 1 {
			t.Errorf("an idle relay looks at %v buffers", buffers)
		}
	}
}
