package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/bench/database"
	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
	"eventshop.example/pkg/postgres"
)

// pipelined is the side that writes the rows of a POST in one pipeline of statements.
const pipelined = "pipeline"

// writers is how many connections the order service has for requests that write.
const writers = 6

// post measures POST /orders with an Idempotency-Key while the order service and its relay run and
// no other service does. The peer does on a copy of the database what one POST does there, as pgbench
// would: the two statements that look for the key, an INSERT per table with the same rows, BEGIN and
// COMMIT, by as many clients and over as many connections, without HTTP, JSON, Avro and relay. The
// peer sends all of it at once; the service reads what it finds under the key before it writes.
func post(ctx context.Context, e *env, r *report.Result) error {
	programs, err := e.shops(ctx)
	if err != nil {
		return err
	}
	r.Sides = []string{report.Ours, pipelined}
	e.progress.Step("post: starting a shop")
	s, err := programs[0].Up(ctx)
	if err != nil {
		return err
	}
	return errors.Join(e.postOn(ctx, r, s), s.Down(ctx))
}

func (e *env) postOn(ctx context.Context, r *report.Result, s *shop.Stack) error {
	if err := s.Stop(ctx, "payment", "inventory", "shipping", "orchestrator", "notification", "projection"); err != nil {
		return err
	}
	taken, err := template(ctx, s)
	if err != nil {
		return fmt.Errorf("take the rows of one order: %w", err)
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: s.Server.URL(peerDatabase), MaxConns: writers})
	if err != nil {
		return err
	}
	defer pool.Close()
	for round := range e.rounds {
		for _, n := range []int{16, 64} {
			for _, side := range measure.Turns(round, r.Sides) {
				e.progress.Step("post, round %d of %d, %d clients, %s", round+1, e.rounds, n, side)
				if side == report.Ours {
					err = e.postOurs(ctx, r, s, n)
				} else {
					err = e.postPeer(ctx, r, s, taken, pool, n)
				}
				if err != nil {
					return fmt.Errorf("%d clients, %s: %w", n, side, err)
				}
			}
		}
	}
	if err := taken.check(ctx, s.Server); err != nil {
		return err
	}
	for _, n := range []int{16, 64} {
		r.Row(postRow(n), "POSTs/s", report.Rate).Aim("≥ 0.5 of the pipeline")
	}
	return nil
}

func postRow(clients int) string { return fmt.Sprintf("%d clients", clients) }

func (e *env) postOurs(ctx context.Context, r *report.Result, s *shop.Stack, n int) error {
	c := s.NewClient(n)
	// No order leaves PENDING here. The service takes that for an overload at first, and for an outage
	// after less than a second: from then on it accepts all.
	if _, err := repeat(ctx, n, 3*time.Second, func(ctx context.Context, i int) error {
		_, _, err := c.Order(ctx, i, "")
		return err
	}); err != nil {
		return err
	}
	return e.postMeasured(ctx, r, s.Server, s.PIDs, report.Ours, "order", n, func(ctx context.Context, i int) error {
		_, refused, err := c.Order(ctx, i, "")
		if err == nil && refused > 0 {
			err = errors.New("the order service refused an order")
		}
		return err
	})
}

func (e *env) postPeer(ctx context.Context, r *report.Result, s *shop.Stack, taken *rows, pool *pgxpool.Pool, n int) error {
	return e.postMeasured(ctx, r, s.Server, nil, pipelined, peerDatabase, n, func(ctx context.Context, _ int) error {
		return pool.SendBatch(ctx, taken.batch()).Close()
	})
}

// postMeasured repeats one by n clients for some seconds. The counts are those of the smaller number
// of clients. Statements are those of one database.
func (e *env) postMeasured(ctx context.Context, r *report.Result, server *database.Server, pids map[string]int,
	side, name string, n int, one func(ctx context.Context, i int) error,
) error {
	// Connections are opened and statements prepared before.
	if _, err := repeat(ctx, n, time.Second, one); err != nil {
		return err
	}
	m, err := server.Meter(ctx, pids)
	if err != nil {
		return err
	}
	took, err := repeat(ctx, n, time.Duration(e.size(4, 10))*time.Second, one)
	if err != nil {
		return err
	}
	u, err := m.Read(ctx)
	if err != nil {
		return err
	}
	r.Row(postRow(n), "POSTs/s", report.Rate).Add(side, float64(len(took))/u.Took.Seconds())
	r.Row(postRow(n)+", p50", "ms", report.Time).Add(side, measure.Quantile(took, .5))
	r.Row(postRow(n)+", p99", "ms", report.Time).Add(side, measure.Quantile(took, .99))
	if n == 16 {
		u.Statements = map[string]int64{name: u.Statements[name]}
		costs(r, side, "POST", u, len(took))
	}
	return nil
}

// repeat calls one by n clients for a time and returns how long each call took.
func repeat(ctx context.Context, n int, during time.Duration, one func(ctx context.Context, i int) error) (took []time.Duration, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var mu sync.Mutex
	var clients sync.WaitGroup
	var i atomic.Int64
	end := time.Now().Add(during)
	for range n {
		clients.Go(func() {
			var own []time.Duration
			for began := time.Now(); began.Before(end); began = time.Now() {
				if err := one(ctx, int(i.Add(1))); err != nil {
					fail(err)
					return
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	clients.Wait()
	return took, context.Cause(ctx)
}
