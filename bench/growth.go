package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/bench/database"
	"eventshop.example/bench/infra"
	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/pkg/events"
)

// empty is the side of an outbox that has nothing else.
const empty = "empty"

// idleFor is how long an idle relay is watched. It polls four times a second.
const idleFor = 3 * time.Second

// growth measures whether the relay's work per event, and per poll that finds nothing, grows with
// what else there is: rows that were published, a backlog, a snapshot that a reader holds open while
// rows are published, and a transaction that stays open in another database. Each case is compared
// with an outbox that has nothing else, in turns.
func growth(ctx context.Context, e *env, r *report.Result) error {
	r.Sides = []string{report.Ours, empty}
	in, err := infra.Open(ctx, e.dir, events.TypeOf[events.OrderCreated]())
	if err != nil {
		return err
	}
	g := &growing{env: e, in: in, r: r, many: e.size(20_000, e.rows), some: e.size(5_000, 50_000)}
	cases := []struct {
		name   string
		before before
	}{
		{fmt.Sprintf("%d published rows", g.many), g.published},
		{fmt.Sprintf("%d published under a held snapshot", g.many/4), g.held},
		{"a long writer in another database", g.longWriter},
	}
	for round := range e.rounds {
		for _, c := range cases {
			if err := g.compare(ctx, round, c.name, c.before); err != nil {
				return errors.Join(fmt.Errorf("%s: %w", c.name, err), in.Close())
			}
		}
		if !e.quick {
			if err := g.backlog(ctx); err != nil {
				return errors.Join(fmt.Errorf("backlog: %w", err), in.Close())
			}
		}
	}
	return in.Close()
}

// before brings about a case, and calls during in it.
type before func(ctx context.Context, p *pump, during func(ctx context.Context) error) error

type growing struct {
	*env
	in         *infra.Infra
	r          *report.Result
	many, some int
}

// compare drains some events in the case and without it. Then it watches the idle relay.
func (g *growing) compare(ctx context.Context, round int, name string, before before) error {
	for _, side := range measure.Turns(round, g.r.Sides) {
		prepare := before
		if side == empty {
			prepare = func(ctx context.Context, _ *pump, during func(ctx context.Context) error) error { return during(ctx) }
		}
		if err := g.side(ctx, name, side, prepare); err != nil {
			return fmt.Errorf("%s: %w", side, err)
		}
	}
	g.r.Row("drain with "+name, "events/s", report.Rate).Aim("≥ 0.95 of empty")
	g.r.Row(emptyPoll(name), "buffers", report.Count).Aim("≤ 20")
	g.r.Row(otherIdle(name), "buffers", report.Count)
	return nil
}

func (g *growing) side(ctx context.Context, name, side string, before before) (err error) {
	g.progress.Step("growth, %s, %s", name, side)
	p, err := newPump(ctx, g.in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close(ctx)) }()
	return before(ctx, p, func(ctx context.Context) error {
		if err := p.fill(ctx, g.some, func(n int) { g.progress.Note("%d events appended", n) }); err != nil {
			return err
		}
		return p.running(ctx, func(ctx context.Context) error {
			rate, err := p.drain(ctx, g.some, func(n int) { g.progress.Note("%d events published", n) })
			if err != nil {
				return err
			}
			g.r.Row("drain with "+name, "events/s", report.Rate).Add(side, rate)
			poll, other, err := g.idle(ctx, p)
			if err != nil {
				return err
			}
			g.r.Row(emptyPoll(name), "buffers", report.Count).Add(side, poll.Buffers)
			g.r.Row(otherIdle(name), "buffers", report.Count).Add(side, other.Buffers)
			if side == report.Ours {
				g.r.Note("%s: the dearest other statement, made %.1f times a second, begins with %.40q",
					name, float64(other.Calls)/idleFor.Seconds(), strings.Join(strings.Fields(other.Text), " "))
			}
			return nil
		})
	})
}

// emptyPoll is the row of the statement with which an idle relay looks for rows to send.
func emptyPoll(name string) string { return "empty poll with " + name }

// otherIdle is the row of the dearest other statement of an idle relay, which renews its leases.
func otherIdle(name string) string { return "dearest other idle statement with " + name }

// polls is a part of the statement that looks for rows, of the present relay or one before it.
func polls(text string) bool {
	return strings.Contains(text, "FROM outbox_queue q JOIN outbox o") || strings.Contains(text, "published_at IS NULL")
}

// idle returns the statement with which an idle relay polls, and the dearest of the others that it repeats.
func (g *growing) idle(ctx context.Context, p *pump) (poll, other database.Statement, err error) {
	if err := infra.Wait(ctx, time.Second); err != nil { // what is acknowledged is marked by then
		return poll, other, err
	}
	if err := g.in.Server.Reset(ctx); err != nil {
		return poll, other, err
	}
	if err := infra.Wait(ctx, idleFor); err != nil {
		return poll, other, err
	}
	statements, err := g.in.Server.Statements(ctx, p.Name, 3)
	for _, s := range slices.Backward(statements) { // the dearest last
		if polls(s.Text) {
			poll = s
		} else {
			other = s
		}
	}
	if err == nil && poll.Calls == 0 {
		err = errors.New("an idle relay did not poll three times")
	}
	return poll, other, err
}

// publish appends and publishes n events.
func (g *growing) publish(ctx context.Context, p *pump, n int) error {
	if err := p.fill(ctx, n, func(n int) { g.progress.Note("%d earlier events appended", n) }); err != nil {
		return err
	}
	return p.running(ctx, func(ctx context.Context) error {
		_, err := p.drain(ctx, n, func(n int) { g.progress.Note("%d earlier events published", n) })
		return err
	})
}

func (g *growing) published(ctx context.Context, p *pump, during func(ctx context.Context) error) error {
	if err := g.publish(ctx, p, g.many); err != nil {
		return err
	}
	return during(ctx)
}

// held publishes while a reader keeps a snapshot, so that nothing can be cleaned up.
func (g *growing) held(ctx context.Context, p *pump, during func(ctx context.Context) error) error {
	return withTx(ctx, p.URL, pgx.RepeatableRead, `SELECT count(*) FROM outbox`, func() error {
		if err := g.publish(ctx, p, g.many/4); err != nil {
			return err
		}
		return during(ctx)
	})
}

// longWriter publishes while a transaction of another database has written something and stays open.
func (g *growing) longWriter(ctx context.Context, p *pump, during func(ctx context.Context) error) (err error) {
	url, err := g.in.Server.Create(ctx, "elsewhere")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.in.Server.Drop(ctx, "elsewhere")) }()
	return withTx(ctx, url, pgx.ReadCommitted, `CREATE TABLE written AS SELECT 1`, func() error {
		if err := g.publish(ctx, p, g.many/4); err != nil {
			return err
		}
		return during(ctx)
	})
}

// withTx calls do while a transaction that made one statement is open.
func withTx(ctx context.Context, url string, level pgx.TxIsoLevel, statement string, do func() error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, statement); err != nil {
		return err
	}
	return errors.Join(do(), tx.Rollback(context.WithoutCancel(ctx)))
}

// backlog drains many events, and compares with draining some.
func (g *growing) backlog(ctx context.Context) error {
	name := fmt.Sprintf("drain of a backlog of %d", g.many)
	for side, n := range map[string]int{empty: g.some, report.Ours: g.many} {
		g.progress.Step("growth, %s, %s", name, side)
		p, err := newPump(ctx, g.in)
		if err != nil {
			return err
		}
		err = p.fill(ctx, n, func(n int) { g.progress.Note("%d events appended", n) })
		if err == nil {
			err = p.running(ctx, func(ctx context.Context) error {
				rate, err := p.drain(ctx, n, func(n int) { g.progress.Note("%d events published", n) })
				g.r.Row(name, "events/s", report.Rate).Add(side, rate)
				return err
			})
		}
		if err := errors.Join(err, p.close(ctx)); err != nil {
			return err
		}
	}
	g.r.Row(name, "events/s", report.Rate).Aim("≥ 0.95 of empty")
	return nil
}
