package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/bench/infra"
	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/pkg/events"
)

// limit is the side of the least that the same work can cost, and the topic of its records.
const limit = "limit"

// drain measures how fast the relay publishes a backlog. The limit reads the same rows by one
// streaming SELECT, produces records of the same key, value size and header size, and deletes as
// many rows from a narrow queue, each by itself; the three rates are combined harmonically, as of
// work that passes one stage after the other.
func drain(ctx context.Context, e *env, r *report.Result) error {
	r.Sides = []string{report.Ours, limit}
	in, err := infra.Open(ctx, e.dir, events.TypeOf[events.OrderCreated]())
	if err != nil {
		return err
	}
	n := e.size(20_000, 200_000)
	for round := range e.rounds {
		if err := e.drainOnce(ctx, r, in, round, n); err != nil {
			return errors.Join(fmt.Errorf("round %d: %w", round+1, err), in.Close())
		}
	}
	r.Row("events", "events/s", report.Rate).Aim("≥ 0.75 of the limit")
	return in.Close()
}

func (e *env) drainOnce(ctx context.Context, r *report.Result, in *infra.Infra, round, n int) (err error) {
	p, err := newPump(ctx, in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close(ctx)) }()
	e.progress.Step("drain, round %d of %d", round+1, e.rounds)
	if err := p.fill(ctx, n, func(n int) { e.progress.Note("%d events appended", n) }); err != nil {
		return err
	}
	for _, statement := range []string{`VACUUM ANALYZE outbox`, `CHECKPOINT`} {
		if _, err := p.Pool.Exec(ctx, statement); err != nil {
			return err
		}
	}
	for _, side := range measure.Turns(round, r.Sides) {
		if side == limit {
			err = e.drainLimit(ctx, r, p, n)
		} else {
			err = e.drainOurs(ctx, r, in, p, n)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", side, err)
		}
	}
	return nil
}

func (e *env) drainOurs(ctx context.Context, r *report.Result, in *infra.Infra, p *pump, n int) error {
	m, err := in.Server.Meter(ctx, map[string]int{"this process": os.Getpid()})
	if err != nil {
		return err
	}
	err = p.running(ctx, func(ctx context.Context) error {
		rate, err := p.drain(ctx, n, func(n int) { e.progress.Note("%d events published", n) })
		r.Row("events", "events/s", report.Rate).Add(report.Ours, rate)
		return err
	})
	if err != nil {
		return err
	}
	u, err := m.Read(ctx) // after the relay has stopped, which marks what is acknowledged
	if err != nil {
		return err
	}
	u.Statements = map[string]int64{p.Name: u.Statements[p.Name]}
	costs(r, report.Ours, "event", u, n)
	return nil
}

func (e *env) drainLimit(ctx context.Context, r *report.Result, p *pump, n int) error {
	read, bytes, err := readAll(ctx, p)
	if err != nil {
		return err
	}
	produced, err := produceAll(ctx, p, n, int(bytes)/n)
	if err != nil {
		return err
	}
	deleted, err := deleteAll(ctx, p, n)
	if err != nil {
		return err
	}
	r.Row("events", "events/s", report.Rate).Add(limit, measure.Harmonic(read, produced, deleted))
	r.Row("  of it reading", "events/s", report.Rate).Add(limit, read)
	r.Row("  of it producing", "events/s", report.Rate).Add(limit, produced)
	r.Row("  of it deleting from a queue", "events/s", report.Rate).Add(limit, deleted)
	return nil
}

// readAll reads all rows of the outbox and returns rows per second and the sum of their bytes.
func readAll(ctx context.Context, p *pump) (perSecond float64, size int64, err error) {
	began := time.Now()
	rows, err := p.Pool.Query(ctx, `SELECT * FROM outbox`)
	if err != nil {
		return 0, 0, err
	}
	sizes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n int64, err error) {
		for _, column := range row.RawValues() {
			n += int64(len(column))
		}
		return n, nil
	})
	for _, n := range sizes {
		size += n
	}
	return float64(len(sizes)) / time.Since(began).Seconds(), size, err
}

// produceAll produces n records of a size to another topic than the relay's.
func produceAll(ctx context.Context, p *pump, n, size int) (perSecond float64, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Brokers...), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(4000))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	value, headers := make([]byte, size/3), make([]byte, size-size/3)
	var failed error
	began := time.Now()
	for i := range n {
		client.Produce(ctx, &kgo.Record{
			Topic: limit, Key: fmt.Appendf(nil, "order-%06d", i%backlogKeys), Value: value,
			Headers: []kgo.RecordHeader{{Key: "headers", Value: headers}},
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err // callbacks do not run at once
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(began).Seconds(), failed
}

// deleteAll deletes n rows from a table of two columns, 1,000 per statement.
func deleteAll(ctx context.Context, p *pump, n int) (perSecond float64, err error) {
	_, err = p.Pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS narrow (seq bigint PRIMARY KEY, shard smallint NOT NULL)`)
	if err != nil {
		return 0, err
	}
	if _, err := p.Pool.Exec(ctx, `INSERT INTO narrow SELECT n, n % 4 FROM generate_series(1, $1::bigint) AS n`, n); err != nil {
		return 0, err
	}
	began := time.Now()
	for from := 0; from < n; from += 1000 {
		ids := make([]int64, 0, 1000)
		for i := from + 1; i <= min(from+1000, n); i++ {
			ids = append(ids, int64(i))
		}
		err := pgx.BeginFunc(ctx, p.Pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM narrow WHERE seq = ANY ($1)`, ids)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
