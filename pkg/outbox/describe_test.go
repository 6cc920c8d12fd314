package outbox

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	if err := f.out.Upkeep(f.pool, time.Hour).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.append(t, keys(10, 2)...)
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox SET published_at = now() WHERE seq > 3`); err != nil {
		t.Fatal(err)
	}
	d, err := f.out.Describe(t.Context(), f.pool)
	if err != nil {
		t.Fatal(err)
	}
	if d.Unpublished != 3 || d.Published != 7 || d.OldestAge <= 0 || d.OldestKept == nil || d.PublishedEstimated || len(d.Leases) != shards ||
		!slices.Equal(d.Topics, []Backlog{{testTopic.Name, 3, 7}}) {
		t.Errorf("%+v", d)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	if !slices.ContainsFunc(d.Partitions, func(p Partition) bool { return p.From == today && p.Bytes > 0 && strings.HasPrefix(p.Name, "outbox_p") }) {
		t.Errorf("no partition of today in %+v", d.Partitions)
	}
}

func TestDescribeEstimatesALargeTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.append(t, keys(8000, 50)...)
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox SET published_at = now() WHERE seq > 100`); err != nil {
		t.Fatal(err)
	}
	var d Description
	err := pgx.BeginFunc(context.Background(), f.pool, func(tx pgx.Tx) error { return describeRows(t.Context(), tx, &d, 100) })
	if err != nil {
		t.Fatal(err)
	}
	if !d.PublishedEstimated || d.Unpublished != 100 {
		t.Errorf("estimated: %t, %d unpublished, want true and exactly 100", d.PublishedEstimated, d.Unpublished)
	}
	// Of some 400 pages 100 are drawn; half and double are far outside what chance does.
	if d.Published < 4000 || d.Published > 16_000 {
		t.Errorf("about %d published, want about 7900", d.Published)
	}
}
