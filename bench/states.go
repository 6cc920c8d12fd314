package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/bench/infra"
	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/postgres"
)

// whole is the side that folds a stream from its beginning.
const whole = "whole stream"

// counted is the state of a measured stream.
type counted struct{ Version, Pieces int64 }

// states measures how long it takes to load the state of a stream of 10, 1,000 and 10,000 events, and
// how many rows that reads, with a snapshot every 100 events and without.
func states(ctx context.Context, e *env, r *report.Result) (err error) {
	r.Sides = []string{report.Ours, whole}
	in, err := infra.Open(ctx, e.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	run, err := in.NewRun(ctx, "", nil, eventstore.Component())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.Close(ctx)) }()
	folds := map[string]*eventstore.States[counted]{}
	for side, every := range map[string]int64{report.Ours: 100, whole: 1_000_000} {
		folds[side] = eventstore.NewStates(eventstore.StatesConfig[counted]{
			Apply: func(c counted, r eventstore.Record) (counted, error) {
				var event struct{ Item struct{ Quantity int64 } }
				err := json.Unmarshal(r.Data, &event)
				return counted{r.Version, c.Pieces + event.Item.Quantity}, err
			},
			Format: 1, Every: every, Pool: run.Pool,
			Encode: func(c counted) (json.RawMessage, error) { return json.Marshal(c) },
			Decode: func(s eventstore.Snapshot) (c counted, err error) { return c, json.Unmarshal(s.State, &c) },
		})
	}
	s := &storing{run: run}
	lengths := []int{10, 1_000, 10_000}
	for _, n := range lengths {
		for side, fold := range folds {
			stream := fmt.Sprint(side, n)
			if _, err := s.append(ctx, report.Ours, stream, n); err != nil {
				return err
			}
			if _, err := fold.Load(ctx, run.Pool, stream); err != nil {
				return err
			}
			if err := fold.Flush(ctx); err != nil {
				return err
			}
		}
	}
	if _, err := run.Pool.Exec(ctx, `ANALYZE`); err != nil {
		return err
	}
	for round := range e.rounds {
		for _, n := range lengths {
			for _, side := range measure.Turns(round, r.Sides) {
				e.progress.Step("states, round %d of %d, %d events, %s", round+1, e.rounds, n, side)
				took, rows, err := loadState(ctx, run, folds[side], fmt.Sprint(side, n), n)
				if err != nil {
					return fmt.Errorf("%s, %d events: %w", side, n, err)
				}
				r.Row(fmt.Sprintf("load the state of %d events", n), "ms", report.Time).Add(side, took)
				r.Row(fmt.Sprintf("rows read for %d events", n), "rows", report.Count).Add(side, rows)
			}
		}
	}
	return nil
}

// loadState returns the mean time of a load, and the rows that one reads.
func loadState(ctx context.Context, run *infra.Run, fold *eventstore.States[counted], stream string, n int) (ms, rows float64, err error) {
	const times = 20
	began := time.Now()
	for range times {
		got, err := fold.Load(ctx, run.Pool, stream)
		if err == nil {
			err = got[stream].Err
		}
		if err == nil && got[stream].State != (counted{int64(n), 2 * int64(n)}) {
			err = fmt.Errorf("the state is %+v", got[stream])
		}
		if err != nil {
			return 0, 0, err
		}
	}
	ms = float64(time.Since(began).Microseconds()) / 1000 / times
	// A session's counters have what it has not reported yet of earlier transactions, too.
	const read = `SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint FROM pg_stat_xact_user_tables`
	var before, after int64
	err = postgres.InTx(ctx, run.Pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, read).Scan(&before); err != nil {
			return err
		}
		if _, err := fold.Load(ctx, tx, stream); err != nil {
			return err
		}
		return tx.QueryRow(ctx, read).Scan(&after)
	})
	return ms, float64(after - before), err
}
