package eventstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/postgres"
)

const (
	// snapshotBatch bounds the snapshots of one statement.
	snapshotBatch = 100
	// snapshotPause is how long Run waits after a failure. Snapshots are noted again by later folds,
	// so nothing depends on it but the load of a database in trouble.
	snapshotPause = 5 * time.Second
	// formatKeep is how long snapshots of an earlier format stay after they were taken, for a roll
	// and its way back.
	formatKeep = 30 * 24 * time.Hour
	// spread is the number of snapshots that [surplus] keeps at each distance.
	spread = 8
)

// Run writes the snapshots that were noted, until ctx ends. It always returns nil. A failure is logged
// and counted; what it did not write is forgotten until the stream is folded again.
func (s *States[S]) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.arrived:
		}
		err := s.Flush(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.cfg.Log.WarnContext(ctx, "snapshots not written; streams are folded from earlier ones", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(snapshotPause):
		}
	}
}

// Flush writes all snapshots that are noted now, and removes those of their streams that are surplus.
func (s *States[S]) Flush(ctx context.Context) error {
	s.mu.Lock()
	noted := s.noted
	s.noted = map[place]S{}
	s.mu.Unlock()
	var all []Snapshot
	for at, state := range noted {
		b, err := s.cfg.Encode(state)
		if err != nil {
			s.metrics.skipped.Add(float64(len(noted)))
			return fmt.Errorf("encode snapshot of stream %s: %w", at.stream, err)
		}
		all = append(all, Snapshot{StreamID: at.stream, Version: at.version, Format: s.cfg.Format, State: b})
	}
	slices.SortFunc(all, func(a, b Snapshot) int {
		return cmp.Or(cmp.Compare(a.StreamID, b.StreamID), cmp.Compare(a.Version, b.Version))
	})
	for len(all) > 0 {
		batch := all[:min(snapshotBatch, len(all))]
		if err := s.write(ctx, batch); err != nil {
			s.metrics.skipped.Add(float64(len(all)))
			return err
		}
		s.metrics.written.Add(float64(len(batch)))
		all = all[len(batch):]
	}
	return nil
}

// write stores snapshots and removes those of their streams that are surplus.
func (s *States[S]) write(ctx context.Context, batch []Snapshot) error {
	if err := SaveSnapshots(ctx, s.cfg.Pool, batch...); err != nil {
		return err
	}
	var streams []string
	for _, b := range batch {
		streams = append(streams, b.StreamID)
	}
	streams = slices.Compact(streams)
	failed := func(err error) error {
		return postgres.Classify(fmt.Errorf("remove surplus snapshots of %d streams: %w", len(streams), err))
	}
	rows, err := s.cfg.Pool.Query(ctx, `SELECT stream_id, version FROM stream_snapshots
		WHERE stream_id = ANY ($1::text[]) AND format = $2 ORDER BY stream_id, version`, streams, s.cfg.Format)
	if err != nil {
		return failed(err)
	}
	stored := map[string][]int64{}
	var at place
	_, err = pgx.ForEachRow(rows, []any{&at.stream, &at.version}, func() error {
		stored[at.stream] = append(stored[at.stream], at.version)
		return nil
	})
	if err != nil {
		return failed(err)
	}
	var ids []string
	var versions []int64
	for _, id := range streams {
		for _, version := range surplus(stored[id], s.cfg.Every) {
			ids, versions = append(ids, id), append(versions, version)
		}
	}
	_, err = s.cfg.Pool.Exec(ctx, `
		DELETE FROM stream_snapshots WHERE stream_id = ANY ($1::text[]) AND format < $2 AND taken_at < now() - $3::interval
			OR (stream_id, version) IN (SELECT * FROM unnest($4::text[], $5::bigint[])) AND format = $2`,
		streams, s.cfg.Format, formatKeep, ids, versions)
	if err != nil {
		return failed(err)
	}
	return nil
}

// surplus returns which of a stream's snapshots are not needed, given their versions in ascending
// order. It keeps the latest, and the multiples of every: all of the last 16, before that every second,
// twice as far back every fourth, and so on. So the number that stays grows with the logarithm of the
// stream's length, and a query of the past folds one interval or at most an eighth of what happened
// since. What it keeps for a longer stream it keeps for a shorter one, too.
func surplus(versions []int64, every int64) (drop []int64) {
	if len(versions) == 0 {
		return nil
	}
	last := versions[len(versions)-1] / every
	for _, v := range versions[:len(versions)-1] {
		step := int64(1)
		for distance := last - v/every; distance >= 2*spread*step; {
			step *= 2
		}
		if v%(every*step) != 0 {
			drop = append(drop, v)
		}
	}
	return drop
}

type statesMetrics struct {
	unusable *prometheus.CounterVec
	written  prometheus.Counter
	skipped  prometheus.Counter
}

func newStatesMetrics(reg prometheus.Registerer) statesMetrics {
	m := statesMetrics{
		unusable: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventstore_snapshots_unusable_total",
			Help: "Loads that found a snapshot they could not use and folded the whole stream: corrupt, older_format, newer_format, unreadable.",
		}, []string{"reason"}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eventstore_snapshots_written_total",
			Help: "Snapshots that were stored.",
		}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eventstore_snapshots_skipped_total",
			Help: "Snapshots that were due and not stored, because too many waited or a write failed. A later load stores them.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.unusable, m.written, m.skipped)
	}
	return m
}
