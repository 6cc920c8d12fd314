package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
)

// A relay is claiming at the moment of a hold. The hold waits for it, and the next claim
// sees the hold.
func TestAHoldWaitsForAClaimUnderWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := NewRelay(f.pool, f.out, RelayConfig{Lease: time.Hour})
	tx := f.begin(t)
	if _, err := tx.Exec(t.Context(), claimShards, r.id, r.cfg.Lease); err != nil {
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() {
		_, err := takeHold(context.WithoutCancel(t.Context()), f.pool, operatorHold, uuid.Nil, "x", nil)
		taken <- err
	}()
	kafkatest.Eventually(t, "the hold to wait", func() bool {
		var waits bool
		err := f.owner(t).QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'outbox_lease'::regclass AND NOT granted)`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-taken:
			t.Fatalf("the hold did not wait: %v", err)
		default:
		}
		return waits
	})
	commit(t, tx)
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	// What the relay had it keeps until it hands it back; another one gets nothing.
	if got, held, err := r.claim(t.Context()); err != nil || len(got) != shards || held != "operator: x" {
		t.Errorf("the relay has %v, held %q, %v", got, held, err)
	}
	if err := r.handBack(t.Context(), []int16{0, 1}); err != nil {
		t.Fatal(err)
	}
	other := NewRelay(f.pool, f.out, RelayConfig{Lease: time.Hour})
	if got, held, err := other.claim(t.Context()); err != nil || len(got) != 0 || held == "" {
		t.Errorf("another relay has %v under the hold, held %q, %v", got, held, err)
	}
	if got, _, err := r.claim(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("the relay has %v, %v, want the two it kept", got, err)
	}
}

// A hold is its owner's until it runs out.
func TestAHoldHasOneOwner(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	a, b, hour := uuid.New(), uuid.New(), time.Hour
	take := func(owner uuid.UUID) bool {
		t.Helper()
		taken, err := takeHold(t.Context(), f.pool, republishHold, owner, "x", &hour)
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	for range 2 { // its owner prolongs it
		if !take(a) {
			t.Error("the hold of the first is not its own")
		}
	}
	if take(b) {
		t.Error("the second took the first one's hold")
	}
	if err := dropHold(t.Context(), f.pool, republishHold, b); err != nil {
		t.Fatal(err)
	}
	if take(b) {
		t.Error("the second ended the first one's hold")
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox_hold SET expires_at = clock_timestamp() - interval '1 s'`); err != nil {
		t.Fatal(err)
	}
	r := NewRelay(f.pool, f.out, RelayConfig{Lease: time.Hour})
	if got, held, err := r.claim(t.Context()); err != nil || len(got) != shards || held != "" {
		t.Errorf("with a hold that has run out a relay has %v, held %q, %v", got, held, err)
	}
	if !take(b) || take(a) {
		t.Error("the second does not get the hold that has run out")
	}
}

// A relay that does not stop keeps Republish from marking anything.
func TestRepublishWaitsForTheRelays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.append(t, keys(10, 5)...)
	for _, sql := range []string{
		`UPDATE outbox SET published_at = now()`,
		`UPDATE outbox_lease SET holder = gen_random_uuid(), expires_at = '2100-01-01' WHERE shard = 3`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*quietPoll)
	defer cancel()
	if n, err := f.out.Republish(ctx, f.pool, Selection{}); errs.KindOf(err) != errs.Transient || n != 0 {
		t.Errorf("%d rows, %v, want a transient error", n, err)
	}
	if d := f.stats(t); d.Published != 10 || len(d.Holds) != 0 {
		t.Errorf("%d published, holds %v", d.Published, d.Holds)
	}
}

// The hold ran out while the rows were being marked, so relays may have sent later events.
func TestRepublishNeedsItsHoldToTheEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.append(t, keys(10, 5)...)
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox SET published_at = now()`); err != nil {
		t.Fatal(err)
	}
	n, err := f.out.Republish(t.Context(), f.pool, Selection{Progress: func(int64) {
		if _, err := f.pool.Exec(t.Context(), `UPDATE outbox_hold SET expires_at = clock_timestamp()`); err != nil {
			t.Error(err)
		}
	}})
	if errs.KindOf(err) != errs.Transient || n != 0 {
		t.Errorf("%d rows, %v, want a transient error", n, err)
	}
	if d := f.stats(t); d.Published != 10 {
		t.Errorf("%d published, want 10", d.Published)
	}
}

// The relay stops believing in a lease before the database does: its time counts from before
// the statement that took it.
func TestALeaseCountsFromBeforeItsStatement(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := NewRelay(f.pool, f.out, RelayConfig{Lease: time.Hour})
	began := time.Now()
	turns := 0
	r.clock = func() time.Time { // each look at the clock is a minute later
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
