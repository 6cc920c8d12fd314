package admin

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox/outboxtest"
)

// While a relay does not stop, Republish marks nothing.
func TestRepublishWaitsForTheRelays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Append(t, outboxtest.Keys(10, 5)...)
	f.Publish(t, "")
	f.Exec(t, `UPDATE outbox_lease SET holder = gen_random_uuid(), expires_at = '2100-01-01', claims = claims + 1 WHERE shard = 3`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*stoppedPoll)
	defer cancel()
	if n, err := f.Republish(ctx, Selection{}); errs.KindOf(err) != errs.Transient || n != 0 {
		t.Errorf("%d rows, %v, want a transient error", n, err)
	}
	if d := f.stats(t); d.Published != 10 || len(d.Holds) != 0 {
		t.Errorf("%d published, holds %v", d.Published, d.Holds)
	}
}

// When the hold expires while Republish marks the rows, relays may have sent later events.
// Republish must then mark none.
func TestRepublishNeedsItsHoldToTheEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Append(t, outboxtest.Keys(10, 5)...)
	f.Publish(t, "")
	n, err := f.Republish(t.Context(), Selection{Progress: func(int64) {
		if _, err := f.Table.Pool.Exec(t.Context(), `UPDATE outbox_hold SET expires_at = clock_timestamp()`); err != nil {
			t.Error(err)
		}
	}})
	if errs.KindOf(err) != errs.Transient || n != 0 {
		t.Errorf("%d rows, %v, want a transient error", n, err)
	}
	if d := f.stats(t); d.Published != 10 {
		t.Errorf("%d published, want 10", d.Published)
	}
}

func TestRepublishOfManyRowsTellsItsProgress(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 3 {
		f.Append(t, outboxtest.Keys(8000, 50)...)
	}
	f.Publish(t, "")
	var reported []int64
	n, err := f.Republish(t.Context(), Selection{Progress: func(rows int64) { reported = append(reported, rows) }})
	if err != nil || n != 24_000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if want := []int64{10_000, 20_000, 24_000}; !slices.Equal(reported, want) {
		t.Errorf("progress %v, want %v", reported, want)
	}
	if d := f.stats(t); d.Unpublished != 24_000 || len(d.Holds) != 0 {
		t.Errorf("%d unpublished, holds %v", d.Unpublished, d.Holds)
	}
}

func TestRepublishSelects(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Append(t, outboxtest.Keys(10, 2)...)
	f.Publish(t, `seq > 2`)
	var middle time.Time
	if err := f.Owner(t).QueryRow(t.Context(), `UPDATE outbox SET created_at = now() - interval '1 day' WHERE seq <= 6 RETURNING now() - interval '1 hour'`).Scan(&middle); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		s    Selection
		want int64
	}{
		{"all", Selection{}, 8},
		{"since", Selection{Since: middle}, 4},
		{"until, and what comes after it of the same keys", Selection{Until: middle}, 8},
		{"until, of one key", Selection{Until: middle, Keys: []string{"k0"}}, 4},
		{"since, of one key", Selection{Since: middle, Keys: []string{"k0", "other"}}, 2},
		{"none between", Selection{Since: middle, Until: middle}, 0},
		{"topic", Selection{Topics: []string{outboxtest.Topic().Name, "other"}}, 8},
		{"other topic", Selection{Topics: []string{"other"}}, 0},
	} {
		c.s.DryRun = true
		if n, err := f.Republish(t.Context(), c.s); err != nil || n != c.want {
			t.Errorf("%s: %d rows, %v, want %d", c.name, n, err, c.want)
		}
	}
}

// Rows of a key are published again before those of the key that wait already, and those before
// events that are appended meanwhile. Each gets a new entry, so that no late acknowledgement of a
// former one removes it.
func TestRepublishBesideRowsThatWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Append(t, "a", "b", "a", "a", "b")
	f.Publish(t, `seq <= 3`)
	open := f.Begin(t)
	f.Insert(t, open, "a")
	n, err := f.Republish(t.Context(), Selection{Keys: []string{"a"}})
	if err != nil || n != 2 {
		t.Fatalf("%d rows, %v, want the two published rows of a", n, err)
	}
	outboxtest.Commit(t, open)
	rows, err := f.Table.Pool.Query(t.Context(), `SELECT format('%s%s %s', convert_from(o.key, 'UTF8'), o.ce_aggregateversion, CASE q.publication WHEN 0 THEN 'first' ELSE 'again' END)
		FROM outbox_queue q JOIN outbox o USING (id) ORDER BY q.seq`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a1 again", "a2 again", "a3 again", "b2 first", "a4 first"}; !slices.Equal(got, want) {
		t.Errorf("the queue has %v, want %v", got, want)
	}
}
