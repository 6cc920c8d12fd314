package relay

import (
	"context"
	"testing"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
)

// A relay is claiming at the moment of a hold. The hold waits for the claim, and the next claim
// sees the hold.
func TestAHoldWaitsForAClaimUnderWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := New(f.Pool, f.Out, Config{Lease: time.Hour})
	tx := f.Begin(t)
	if _, err := tx.Exec(t.Context(), claimShards, r.table.id, r.cfg.Lease); err != nil {
		t.Fatal(err)
	}
	holding, end := context.WithCancel(t.Context())
	defer end()
	held := make(chan error, 1)
	go func() { held <- f.admin().Hold(holding, "x") }()
	kafkatest.Eventually(t, "the hold to wait", func() bool {
		var waits bool
		err := f.Owner(t).QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'outbox_lease'::regclass AND NOT granted)`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-held:
			t.Fatalf("the hold did not wait: %v", err)
		default:
		}
		if n := len(f.stats(t).Holds); n != 0 {
			t.Fatalf("%d holds while a claim is under way", n)
		}
		return waits
	})
	outboxtest.Commit(t, tx)
	kafkatest.Eventually(t, "the hold to be in force", func() bool { return len(f.stats(t).Holds) == 1 })
	// The relay keeps its shards until it hands them back; another relay gets none.
	if got, held, err := r.table.claim(t.Context()); err != nil || len(got) != outbox.Shards || held != "operator: x" {
		t.Errorf("the relay has %v, held %q, %v", got, held, err)
	}
	if err := r.table.handBack(t.Context(), []int16{0, 1}); err != nil {
		t.Fatal(err)
	}
	other := New(f.Pool, f.Out, Config{Lease: time.Hour})
	if got, held, err := other.table.claim(t.Context()); err != nil || len(got) != 0 || held == "" {
		t.Errorf("another relay has %v under the hold, held %q, %v", got, held, err)
	}
	if got, _, err := r.table.claim(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("the relay has %v, %v, want the two it kept", got, err)
	}
	end()
	if err := <-held; errs.KindOf(err) != errs.Transient {
		t.Errorf("the hold ended with %v although the relay kept two shards, want a transient error", err)
	}
}

// The lease ends for the relay before it ends in the database: the relay counts from before the
// statement that took it.
func TestALeaseCountsFromBeforeItsStatement(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := New(f.Pool, f.Out, Config{Lease: time.Hour})
	began := time.Now()
	turns := 0
	r.clock = func() time.Time { // each reading of the clock is a minute later
		turns++
		return began.Add(time.Duration(turns-1) * time.Minute)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.leaseLoop(ctx) }()
	kafkatest.Eventually(t, "the relay to lead", func() bool { return r.flight.leads(0, began) })
	cancel()
	<-done
	if !r.flight.leads(0, began.Add(time.Hour)) || r.flight.leads(0, began.Add(time.Hour+1)) {
		t.Errorf("the lease lasts until %s, want %s", r.flight.leased[0], began.Add(time.Hour))
	}
}
