package relays

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/bench/measure"
	"eventshop.example/lab/cdcstack"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/postgres"
)

const (
	// appendBatch is the number of events per transaction of the backlog.
	appendBatch = 500
	// keys is the number of orders of the backlog.
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

// costs returns the processor times so far; without a service, the service's own are zero.
func (r *run) costs(s *service) (c costs, err error) {
	const own = "the service"
	processes := map[string]int{}
	if s != nil {
		processes[own] = s.cmd.Process.Pid
	}
	for _, name := range []string{cdcstack.Connect, cdcstack.Kafka, cdcstack.Postgres} {
		status, err := r.stack.Runner.Status(name)
		if err != nil {
			return c, err
		}
		processes[name] = status.PID
	}
	spent, err := measure.Spent(processes)
	return costs{spent[own], spent[cdcstack.Connect], spent[cdcstack.Kafka], spent[cdcstack.Postgres]}, err
}

// drain is the result of relaying a backlog.
type drain struct {
	events            int
	first, last, done time.Duration // since the start of the relay: first and last record seen, all rows marked
	costs             costs         // until done
	repeated          int
}

// rate returns events per second, from the first record seen to the last.
func (d drain) rate() float64 { return float64(d.events) / (d.last - d.first).Seconds() }

// backlog measures how n events are relayed that are already in the outbox.
func (b *bench) backlog(ctx context.Context, mode capture.Mode, n int) (d drain, err error) {
	r, err := b.newRun(ctx, mode)
	if err != nil {
		return d, err
	}
	if err := r.fill(ctx, n); err != nil {
		return d, fmt.Errorf("fill the outbox: %w", err)
	}
	w, err := watch(ctx, b.stack.Brokers, n)
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

// fill appends the backlog and waits until the server has no other work.
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

// marked waits until every row is marked as published.
func (r *run) marked(ctx context.Context) error {
	return until(ctx, func() error {
		var left bool
		err := r.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM outbox_queue)`).Scan(&left)
		if err == nil && left {
			err = errors.New("rows are not marked yet")
		}
		return err
	})
}

// pace is the result of relaying single events.
type pace struct {
	late  []time.Duration // commit → consumer
	took  time.Duration
	costs costs
}

// paced measures events that are appended one by one, rate per second, after warmup of them.
func (b *bench) paced(ctx context.Context, mode capture.Mode, warmup, n int, rate float64) (p pace, err error) {
	r, err := b.newRun(ctx, mode)
	if err != nil {
		return p, err
	}
	w, err := watch(ctx, b.stack.Brokers, warmup+n)
	if err != nil {
		return p, err
	}
	defer w.close()
	s, err := r.relay(ctx)
	if err != nil {
		return p, err
	}
	if mode == capture.Debezium {
		if err := b.stack.Connect.AwaitRunning(ctx, r.conn.Name()); err != nil {
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
	return p, nil
}
