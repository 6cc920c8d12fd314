package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"eventshop.example/lab/load"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
)

// replays make groups read records again without the state that marks them as handled. They run
// after dead letters were discarded, and before there is too much to read again.
func replays() []Fault {
	const family = "replay"
	return []Fault{
		{Name: "replay-from-before-the-inbox", Family: family, run: replay,
			Done:   "the inboxes and positions of all services emptied and their groups' offsets deleted, then all is read again",
			Expect: "duplicates without an effect, no dead letter"},
	}
}

func replay(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	refunded, err := t.place(ctx, load.Order{Quantity: stocked + 1}, cancelled)
	if err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	if err := t.reach(ctx, []string{refunded}, cancelled); err != nil {
		return err
	}
	groups := eventshop.Services()
	began := time.Now()
	var all errgroup.Group
	for _, group := range groups {
		start := t.once(func(ctx context.Context) error {
			return t.shop(func(s *stack.Stack) error { return s.Start(ctx, group) })
		})
		all.Go(func() error {
			if err := t.forget(ctx, group); err != nil {
				return err
			}
			return start(ctx)
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	t.over(ctx)
	if err := t.caughtUp(ctx, groups...); err != nil {
		return err
	}
	read := 0
	for _, group := range groups {
		n := 0
		_, count := memory(group)
		if err := t.query(ctx, group, count, nil, &n); err != nil {
			return err
		}
		read += n
	}
	t.see("%d events read again within %.1f s", read, time.Since(began).Seconds())
	if err := t.othersGoOn(ctx); err != nil {
		return err
	}
	if err := t.money(ctx, ids, 1, 0); err != nil {
		return err
	}
	if err := t.money(ctx, []string{refunded}, 1, 1); err != nil {
		return err
	}
	return t.noLetters(ctx)
}

// memory returns the table in which a group remembers what it has handled, and how to count that.
func memory(group string) (table, count string) {
	if group == "projection" {
		return "consumer_positions", `SELECT coalesce(sum(next_offset), 0) FROM consumer_positions`
	}
	return "inbox", `SELECT count(*) FROM inbox`
}

// forget stops a service, empties its memory and deletes its group's offsets.
func (w *world) forget(ctx context.Context, group string) error {
	if err := w.shop(func(s *stack.Stack) error { return s.Stop(ctx, group) }); err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, w.file.DSN[group])
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	table, _ := memory(group)
	if _, err := c.Exec(ctx, `TRUNCATE `+table); err != nil {
		return fmt.Errorf("empty %s of %s: %w", table, group, err)
	}
	return eventually(ctx, 30*time.Second, "the group "+group+" is deleted", func(ctx context.Context) (bool, error) {
		answer, err := w.admin.DeleteGroup(ctx, group)
		if err == nil {
			err = answer.Err
		}
		return err == nil, err
	})
}
