package outbox

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/kafkatest"
)

// ids returns the rows' ids in the order of their sequence numbers.
func (f *fixture) ids(t *testing.T) []uuid.UUID {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT id FROM outbox ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// Rows are marked in whatever order they were acknowledged, each of the publication it had,
// and once: what two relays published has the time of the first mark.
func TestMark(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := NewRelay(f.pool, f.out, RelayConfig{})
	f.append(t, keys(6, 6)...)
	ids := f.ids(t)
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox SET publication = 2 WHERE id = ANY ($1)`, ids[4:]); err != nil {
		t.Fatal(err)
	}
	mark := func(publication int32, of ...uuid.UUID) {
		t.Helper()
		var batch []*record
		for _, id := range of {
			batch = append(batch, &record{id: id, publication: publication})
		}
		if err := r.mark(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	times := func() (all []*time.Time) {
		t.Helper()
		rows, err := f.pool.Query(t.Context(), `SELECT published_at FROM outbox ORDER BY seq`)
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
	mark(1, ids[3], ids[0], ids[2], ids[5]) // the last is of a former publication
	if got := marked(); !slices.Equal(got, []bool{true, false, true, true, false, false}) {
		t.Errorf("marked %v", got)
	}
	before := times()[0]
	mark(1, ids[0], ids[1])
	if after := times()[0]; !after.Equal(*before) {
		t.Errorf("the second mark moved the time from %s to %s", before, after)
	}
	mark(2, ids[5], ids[4])
	if got := marked(); slices.Contains(got, false) {
		t.Errorf("marked %v, want all", got)
	}
}

// Two relays that mark the same rows wait for each other, whatever order they had them in.
func TestTwoMarksOfTheSameRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.append(t, keys(200, 200)...)
	var batch []*record
	for _, id := range f.ids(t) {
		batch = append(batch, &record{id: id, publication: 1})
	}
	backward := slices.Clone(batch)
	slices.Reverse(backward)
	done := make(chan error, 2)
	for _, rows := range [][]*record{batch, backward} {
		go func() { done <- NewRelay(f.pool, f.out, RelayConfig{}).mark(t.Context(), rows) }()
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

// What polling reads while Debezium has the events: raw rows, and what is published again;
// and a relay that has not heard of the mode reads nothing.
func TestReadsInModeDebezium(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	tx := f.begin(t)
	f.insert(t, tx, "event", "again")
	f.raws(t, tx, 10, "raw")
	commit(t, tx)
	for _, sql := range []string{
		`UPDATE outbox SET publication = 2 WHERE convert_from(key, 'UTF8') = 'again'`,
		`UPDATE outbox_mode SET mode = 'debezium', slot = 'x'`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	r := NewRelay(f.pool, f.out, RelayConfig{Brokers: f.brokers, Lease: time.Hour})
	r.company.client.Store(kafkatest.NewClient(t, f.brokers))
	shards, _, err := r.claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if *r.mode.Load() != Debezium {
		t.Error("the claim does not tell the mode")
	}
	now := time.Now()
	r.flight.lead(shards, now, now.Add(time.Hour))
	read := func(mode Mode) (keys []string) {
		t.Helper()
		r.mode.Store(&mode)
		if _, err := r.readOnce(t.Context(), r.flight.view(now, 1000), 1000, 1<<20); err != nil {
			t.Fatal(err)
		}
		r.flight.mu.Lock()
		defer r.flight.mu.Unlock()
		for _, rec := range r.flight.rows {
			keys = append(keys, rec.lane.key)
		}
		slices.Sort(keys)
		return keys
	}
	if got := read(Polling); len(got) != 0 {
		t.Errorf("a relay that has not heard of the mode reads %v", got)
	}
	if got := read(Debezium); !slices.Equal(got, []string{"again", "raw"}) {
		t.Errorf("reads %v", got)
	}
}
