package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/local/rig"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

const (
	// appendBatch is how many events of the backlog a transaction appends.
	appendBatch = 500
	// keys is over how many orders the backlog is spread.
	keys = 20_000
)

// costs are the processor times of the processes in a run.
type costs struct {
	service, connect, kafka, postgres time.Duration
}

func (c costs) sum() time.Duration { return c.service + c.connect + c.kafka + c.postgres }

func (c costs) minus(o costs) costs {
	return costs{c.service - o.service, c.connect - o.connect, c.kafka - o.kafka, c.postgres - o.postgres}
}

// costs reads them; without a service its own are none so far.
func (r *run) costs(s *service) (c costs, err error) {
	if s != nil {
		c.service, err = spent(s.cmd.Process.Pid)
	}
	for name, into := range map[string]*time.Duration{rig.Connect: &c.connect, rig.Kafka: &c.kafka, rig.Postgres: &c.postgres} {
		status, failed := r.rig.Runner.Status(name)
		if failed == nil {
			*into, failed = spent(status.PID)
		}
		err = errors.Join(err, failed)
	}
	return c, err
}

// drain is what became of a backlog.
type drain struct {
	events            int
	first, last, done time.Duration // since the start of the relay: first and last record seen, all rows marked
	costs             costs         // until done
	repeated          int
}

// rate is in events per second, from the first record seen to the last.
func (d drain) rate() float64 { return float64(d.events) / (d.last - d.first).Seconds() }

// backlog measures how n events that are in the outbox already are relayed.
func (b *bench) backlog(ctx context.Context, mode outbox.Mode, n int) (d drain, err error) {
	r, err := b.newRun(ctx, mode)
	if err != nil {
		return d, err
	}
	if err := r.fill(ctx, n); err != nil {
		return d, fmt.Errorf("fill the outbox: %w", err)
	}
	w, err := watch(ctx, b.rig.Brokers, n)
	if err != nil {
		return d, err
	}
	defer w.close()
	before, err := r.costs(nil)
	if err != nil {
		return d, err
	}
	began := time.Now()
	s, err := r.relay(ctx)
	if err != nil {
		return d, err
	}
	if err := w.await(ctx); err != nil {
		return d, err
	}
	if err := r.marked(ctx); err != nil {
		return d, err
	}
	d.done = time.Since(began)
	after, err := r.costs(s)
	if err != nil {
		return d, err
	}
	d.costs = after.minus(before)
	if err := errors.Join(s.stop(), r.end(ctx)); err != nil {
		return d, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.disorder > 0 {
		return d, fmt.Errorf("%d of %d events came before one that goes before them", w.disorder, n)
	}
	d.events, d.repeated = n, w.repeated
	d.first, d.last = w.first.Sub(began), w.newest.Sub(began)
	return d, nil
}

// fill appends the backlog and leaves the server with nothing else to do.
func (r *run) fill(ctx context.Context, n int) error {
	for from := 0; from < n; from += appendBatch {
		var entries []outbox.Entry
		for i := from; i < min(from+appendBatch, n); i++ {
			entries = append(entries, orderCreated(fmt.Sprintf("order-%06d", i%keys), int64(i/keys+1), i))
		}
		err := postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error { return r.out.Append(ctx, tx, entries...) })
		if err != nil {
			return err
		}
	}
	for _, statement := range []string{`VACUUM ANALYZE outbox`, `CHECKPOINT`} {
		if _, err := r.pool.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// marked waits until every row counts as published.
func (r *run) marked(ctx context.Context) error {
	return until(ctx, func() error {
		var left bool
		err := r.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM outbox WHERE published_at IS NULL)`).Scan(&left)
		if err == nil && left {
			err = errors.New("rows are not marked yet")
		}
		return err
	})
}

// pace is how events come through one at a time.
type pace struct {
	late  []time.Duration // commit → consumer, sorted
	took  time.Duration
	costs costs
}

// paced measures events that are appended one by one, rate a second, after warmup of them.
func (b *bench) paced(ctx context.Context, mode outbox.Mode, warmup, n int, rate float64) (p pace, err error) {
	r, err := b.newRun(ctx, mode)
	if err != nil {
		return p, err
	}
	w, err := watch(ctx, b.rig.Brokers, warmup+n)
	if err != nil {
		return p, err
	}
	defer w.close()
	s, err := r.relay(ctx)
	if err != nil {
		return p, err
	}
	if mode == outbox.Debezium {
		if err := b.rig.Connect.AwaitRunning(ctx, r.conn.Name()); err != nil {
			return p, err
		}
	}
	every := time.Duration(float64(time.Second) / rate)
	if _, err := s.write(warmup, every); err != nil {
		return p, err
	}
	before, err := r.costs(s)
	if err != nil {
		return p, err
	}
	began := time.Now()
	committed, err := s.write(n, every)
	if err != nil {
		return p, err
	}
	p.took = time.Since(began)
	if err := w.await(ctx); err != nil {
		return p, err
	}
	after, err := r.costs(s)
	if err != nil {
		return p, err
	}
	p.costs = after.minus(before)
	if err := errors.Join(s.stop(), r.end(ctx)); err != nil {
		return p, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for e, at := range committed {
		p.late = append(p.late, w.seen[e].Sub(at))
	}
	slices.Sort(p.late)
	return p, nil
}
