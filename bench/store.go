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

// plain is the side of SQL without the kit, on the same table with the same constraints.
const plain = "plain SQL"

// loaded is the length of the stream that is loaded.
const loaded = 10_000

// plainInsert takes the same arrays as the event store's statement.
const plainInsert = `INSERT INTO events (stream_id, version, event_type, data, metadata)
	SELECT $1, v, t, d::jsonb, '{}' FROM unnest($2::bigint[], $3::text[], $4::text[]) AS e (v, t, d)`

// store measures appends of 1, 10 and 100 events, each to a new stream in a transaction of its own,
// and the load of a long stream.
func store(ctx context.Context, e *env, r *report.Result) (err error) {
	r.Sides = []string{report.Ours, plain}
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
	s := &storing{run: run, events: e.size(2_000, 20_000)}
	if _, err := s.append(ctx, report.Ours, "long", loaded); err != nil {
		return err
	}
	for round := range e.rounds {
		for _, side := range measure.Turns(round, r.Sides) {
			e.progress.Step("eventstore, round %d of %d, %s", round+1, e.rounds, side)
			for _, n := range []int{1, 10, 100} {
				rate, err := s.appends(ctx, side, n)
				if err != nil {
					return fmt.Errorf("%s, append %d: %w", side, n, err)
				}
				r.Row(fmt.Sprintf("append %d", n), "events/s", report.Rate).Add(side, rate).Aim("≥ 0.85")
			}
			rate, err := s.load(ctx, side)
			if err != nil {
				return fmt.Errorf("%s, load: %w", side, err)
			}
			r.Row(fmt.Sprintf("load %d", loaded), "events/s", report.Rate).Add(side, rate).Aim("≥ 0.85")
		}
	}
	return nil
}

type storing struct {
	run     *infra.Run
	events  int
	streams int
}

// appends appends events to new streams, n per transaction.
func (s *storing) appends(ctx context.Context, side string, n int) (perSecond float64, err error) {
	var took time.Duration
	times := min(s.events/n, 2000)
	for range times {
		s.streams++
		d, err := s.append(ctx, side, fmt.Sprintf("stream-%d", s.streams), n)
		if err != nil {
			return 0, err
		}
		took += d
	}
	return float64(times*n) / took.Seconds(), nil
}

func (s *storing) append(ctx context.Context, side, stream string, n int) (took time.Duration, err error) {
	data := json.RawMessage(`{"orderId": "0190163d-8694-739b-aea5-966c26f8ad91", "item": {"sku": "WIDGET-01", "quantity": 2, "unitPrice": 2999}}`)
	records, versions, types, texts := make([]eventstore.NewRecord, n), make([]int64, n), make([]string, n), make([]string, n)
	for i := range n {
		records[i] = eventstore.NewRecord{Type: "ItemAdded", Data: data}
		versions[i], types[i], texts[i] = int64(i+1), "ItemAdded", string(data)
	}
	began := time.Now()
	err = postgres.InTx(ctx, s.run.Pool, func(tx pgx.Tx) error {
		if side == report.Ours {
			return eventstore.AppendAll(ctx, tx, eventstore.Appended{StreamID: stream, Records: records})
		}
		_, err := tx.Exec(ctx, plainInsert, stream, versions, types, texts)
		return err
	})
	return time.Since(began), err
}

func (s *storing) load(ctx context.Context, side string) (perSecond float64, err error) {
	const times = 10
	began := time.Now()
	for range times {
		n := 0
		if side == report.Ours {
			var records []eventstore.Record
			records, err = eventstore.Load(ctx, s.run.Pool, "long", 0)
			n = len(records)
		} else {
			n, err = s.selectAll(ctx)
		}
		if err == nil && n != loaded {
			err = fmt.Errorf("%d events instead of %d", n, loaded)
		}
		if err != nil {
			return 0, err
		}
	}
	return float64(times*loaded) / time.Since(began).Seconds(), nil
}

func (s *storing) selectAll(ctx context.Context) (n int, err error) {
	rows, err := s.run.Pool.Query(ctx, `SELECT version, event_type, data, metadata, recorded_at FROM events WHERE stream_id = 'long' ORDER BY version`)
	if err != nil {
		return 0, err
	}
	var version int64
	var eventType string
	var data, metadata []byte
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&version, &eventType, &data, &metadata, &at}, func() error { n++; return nil })
	return n, err
}
