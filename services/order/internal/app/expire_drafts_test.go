package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// TestAbandonedDrafts: a draft that was not changed for longer than it is kept is discarded, once. A
// draft that was changed after the list was read stays, and so does an order.
func TestAbandonedDrafts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.advance(time.Since(f.time())) // the events are recorded at the database's time
	start := func() (o order.Order) {
		err := f.command(func(tx pgx.Tx) (err error) {
			o, _, err = f.app.StartDraft(context.Background(), tx, app.StartDraft{Customer: cart().Customer, Currency: "GBP", Items: cart().Items})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	state := func(id string) order.State {
		o, err := f.app.GetOrder(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return o.State
	}
	abandoned, busy, placed := start(), start(), f.place(cart())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.app.RunDraftList(ctx) }()
	kafkatest.Eventually(t, "both drafts in the list", func() bool {
		var n int
		if err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM drafts`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 2
	})
	stop()
	<-ended
	expire := func(want int) {
		t.Helper()
		if n, err := f.app.ExpireDrafts(t.Context()); err != nil || n != want {
			t.Errorf("%d discarded, %v, want %d", n, err, want)
		}
	}
	expire(0)
	// The list does not know of this change.
	if err := f.command(func(tx pgx.Tx) error {
		_, _, err := f.app.EditDraft(context.Background(), tx, busy.ID, busy.Version, order.ChangeAddress(cart().ShippingAddress))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	f.advance(8 * 24 * time.Hour)
	expire(1)
	expire(0)
	if a, b, c := state(abandoned.ID), state(busy.ID), state(placed.ID); a != order.Discarded || b != order.Draft || c != order.Pending {
		t.Errorf("the drafts are %s and %s, the order %s", a, b, c)
	}
	o, err := f.app.GetOrder(t.Context(), abandoned.ID)
	if err != nil || o.Cancelled == nil || o.Cancelled.Reason != order.ReasonAbandoned {
		t.Errorf("discarded because of %v, %v", o.Cancelled, err)
	}
}
