package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"eventshop.example/local/load"
	"eventshop.example/local/stack"
)

// replays have groups read again what they have read, without what tells them so. They come when
// there are dead letters that were discarded, and before there is too much to read again.
func replays() []Fault {
	const family = "replay"
	return []Fault{
		{Name: "replay-from-before-the-inbox", Family: family, run: replay,
			Done:   "the inboxes of all services emptied and their groups' offsets deleted, then all is read again",
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
	groups := services()
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
		if err := t.query(ctx, group, `SELECT count(*) FROM inbox`, nil, &n); err != nil {
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

// forget stops a service, empties its inbox and deletes its group's offsets.
func (w *world) forget(ctx context.Context, group string) error {
	if err := w.shop(func(s *stack.Stack) error { return s.Stop(ctx, group) }); err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, w.file.DSN[group])
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	if _, err := c.Exec(ctx, `TRUNCATE inbox`); err != nil {
		return fmt.Errorf("empty the inbox of %s: %w", group, err)
	}
	return eventually(ctx, 30*time.Second, "the group "+group+" is deleted", func(ctx context.Context) (bool, error) {
		answer, err := w.admin.DeleteGroup(ctx, group)
		if err == nil {
			err = answer.Err
		}
		return err == nil, err
	})
}
