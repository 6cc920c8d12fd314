package relay

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/outbox/outboxtest"
)

// ids returns the rows' ids in the order of their sequence numbers.
func (f *fixture) ids(t *testing.T) []uuid.UUID {
	t.Helper()
	rows, err := f.Pool.Query(t.Context(), `SELECT id FROM outbox ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// Rows are marked in any order of acknowledgement, for the publication that was read, and once: a row
// that two relays published keeps the time of the first mark.
func TestMark(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := New(f.Pool, f.Out, Config{})
	f.Append(t, outboxtest.Keys(6, 6)...)
	first := f.entries(t)
	f.Again(t, `seq > 4`)
	again := f.entries(t)
	mark := func(of ...*record) {
		t.Helper()
		if err := r.table.mark(t.Context(), of); err != nil {
			t.Fatal(err)
		}
	}
	times := func() (all []*time.Time) {
		t.Helper()
		rows, err := f.Pool.Query(t.Context(), `SELECT published_at FROM outbox_history ORDER BY seq`)
		if err == nil {
			all, err = pgx.CollectRows(rows, pgx.RowTo[*time.Time])
		}
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	marked := func() (n []bool) {
		for _, at := range times() {
			n = append(n, at != nil)
		}
		return n
	}
	mark(first[3], first[0], first[2], first[5]) // the last was queued again since
	if got := marked(); !slices.Equal(got, []bool{true, false, true, true, false, false}) {
		t.Errorf("marked %v", got)
	}
	before := times()[0]
	mark(first[0], first[1])
	if after := times()[0]; !after.Equal(*before) {
		t.Errorf("the second mark moved the time from %s to %s", before, after)
	}
	if second := times()[1]; !second.After(*before) || time.Since(*second) > time.Hour {
		t.Errorf("marked at %s and at %s", before, second)
	}
	mark(again[5], first[4]) // one batch of two publications
	mark(first[5], again[4])
	if got := marked(); slices.Contains(got, false) {
		t.Errorf("marked %v, want all", got)
	}
}

// entries returns what a read would return, in the order of the sequence numbers.
func (f *fixture) entries(t *testing.T) []*record {
	t.Helper()
	rows, err := f.Pool.Query(t.Context(), `SELECT seq, publication, id, shard FROM outbox_queue ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*record, error) {
		var rec record
		return &rec, row.Scan(&rec.seq, &rec.publication, &rec.id, &rec.shard)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Two relays that mark the same rows wait for each other, in whatever order they list them.
func TestTwoMarksOfTheSameRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.Append(t, outboxtest.Keys(200, 200)...)
	batch := f.entries(t)
	backward := slices.Clone(batch)
	slices.Reverse(backward)
	done := make(chan error, 2)
	for _, rows := range [][]*record{batch, backward} {
		go func() { done <- New(f.Pool, f.Out, Config{}).table.mark(t.Context(), rows) }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := f.stats(t).Unpublished; n != 0 {
		t.Errorf("%d unmarked", n)
	}
}

// In mode debezium polling reads raw rows and republished rows. A relay that does not have the
// current mode yet reads nothing.
func TestReadsInModeDebezium(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	tx := f.Begin(t)
	f.Insert(t, tx, "event", "again")
	f.Raws(t, tx, 10, "raw")
	outboxtest.Commit(t, tx)
	f.Again(t, `convert_from(key, 'UTF8') = 'again'`)
	f.Exec(t, `UPDATE outbox_mode SET mode = 'debezium', slot = 'x'`)
	r := New(f.Pool, f.Out, Config{Brokers: f.brokers, Lease: time.Hour})
	r.producers.batched.client.Store(kafkatest.NewClient(t, f.brokers))
	shards, _, err := r.table.claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if *r.table.mode.Load() != capture.Debezium {
		t.Error("the claim does not tell the mode")
	}
	now := time.Now()
	r.flight.setLeases(shards, now, now.Add(time.Hour))
	read := func(mode capture.Mode) (keys []string) {
		t.Helper()
		r.table.mode.Store(&mode)
		if _, err := r.readOnce(t.Context(), r.flight.view(now, 1000), 1000, 1<<20); err != nil {
			t.Fatal(err)
		}
		r.flight.mu.Lock()
		defer r.flight.mu.Unlock()
		for _, rec := range r.flight.rows {
			keys = append(keys, rec.orderKey.key)
		}
		slices.Sort(keys)
		return keys
	}
	if got := read(capture.Polling); len(got) != 0 {
		t.Errorf("a relay that has not heard of the mode reads %v", got)
	}
	if got := read(capture.Debezium); !slices.Equal(got, []string{"again", "raw"}) {
		t.Errorf("reads %v", got)
	}
}
