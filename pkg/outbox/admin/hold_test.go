package admin

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
	"eventshop.example/pkg/outbox/relay"
)

// fixture is a table without a relay.
type fixture struct {
	*outboxtest.Table
	Admin
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	table := outboxtest.New(t)
	return fixture{table, Admin{Pool: table.Pool}}
}

func (f fixture) stats(t *testing.T) Description {
	t.Helper()
	d, err := f.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A hold belongs to its owner until it expires.
func TestAHoldHasOneOwner(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b, hour := uuid.New(), uuid.New(), time.Hour
	take := func(owner uuid.UUID) bool {
		t.Helper()
		taken, err := takeHold(t.Context(), f.Table.Pool, republishHold, owner, "x", &hour)
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	for range 2 { // its owner extends it
		if !take(a) {
			t.Error("the hold of the first is not its own")
		}
	}
	if take(b) {
		t.Error("the second took the first one's hold")
	}
	if err := dropHold(t.Context(), f.Table.Pool, republishHold, b); err != nil {
		t.Fatal(err)
	}
	if take(b) {
		t.Error("the second ended the first one's hold")
	}
	if _, err := f.Table.Pool.Exec(t.Context(), `UPDATE outbox_hold SET expires_at = clock_timestamp() - interval '1 s'`); err != nil {
		t.Fatal(err)
	}
	// After the hold has expired, a relay leads.
	r := relay.New(f.Table.Pool, f.Out, relay.Config{Brokers: []string{"127.0.0.1:9"}, Lease: time.Hour}) // it sends nothing
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	kafkatest.Eventually(t, "a relay to lead all shards", func() bool {
		var led int
		for _, n := range f.Holders(t) {
			led += n
		}
		return led == outbox.Shards
	})
	if err := r.Ready(); err != nil {
		t.Errorf("with a hold that has run out: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !take(b) || take(a) {
		t.Error("the second does not get the hold that has run out")
	}
}
