package admin

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.Out.Upkeep(f.Table.Pool, time.Hour).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Append(t, outboxtest.Keys(10, 2)...)
	f.Publish(t, `seq > 3`)
	d, err := f.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.Unpublished != 3 || d.Published != 7 || d.OldestAge <= 0 || d.OldestKept == nil || d.PublishedEstimated || len(d.Leases) != outbox.Shards ||
		!slices.Equal(d.Topics, []Backlog{{outboxtest.Topic().Name, 3, 7}}) {
		t.Errorf("%+v", d)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	if !slices.ContainsFunc(d.Partitions, func(p Partition) bool { return p.From == today && p.Bytes > 0 && strings.HasPrefix(p.Name, "outbox_p") }) {
		t.Errorf("no partition of today in %+v", d.Partitions)
	}
}

func TestDescribeEstimatesALargeTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Append(t, outboxtest.Keys(8000, 50)...)
	f.Publish(t, `seq > 100`)
	var d Description
	err := pgx.BeginFunc(context.Background(), f.Table.Pool, func(tx pgx.Tx) error { return describeRows(t.Context(), tx, &d, 100) })
	if err != nil {
		t.Fatal(err)
	}
	if !d.PublishedEstimated || d.Unpublished != 100 {
		t.Errorf("estimated: %t, %d unpublished, want true and exactly 100", d.PublishedEstimated, d.Unpublished)
	}
	// The sample has 100 of about 400 pages; half and double are far outside the random variation.
	if d.Published < 4000 || d.Published > 16_000 {
		t.Errorf("about %d published, want about 7900", d.Published)
	}
}
