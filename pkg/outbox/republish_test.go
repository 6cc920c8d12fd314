package outbox

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/kafkatest"
)

// TestRepublishFillsABrokerThatLostItsData publishes to one broker, then to an empty one,
// while events go on being appended.
func TestRepublishFillsABrokerThatLostItsData(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.append(t, keys(1000, 50)...)
	first := f.start(t, RelayConfig{})
	kafkatest.Eventually(t, "all published", func() bool { return f.stats(t).Unpublished == 0 })
	first.stop(t)
	before := kafkatest.ReadAll(t, f.brokers, testTopic.Name)

	// The new broker has no topics yet: the relay of a running service waits for them.
	f.brokers = kafkatest.Start(t)
	f.start(t, RelayConfig{})
	f.append(t, keys(100, 50)...)
	n, err := f.out.Republish(t.Context(), f.pool, Selection{DryRun: true})
	if err != nil || n != 1000 || f.stats(t).Unpublished != 100 {
		t.Fatalf("dry run: %d rows, %v, %d unpublished", n, err, f.stats(t).Unpublished)
	}
	if n, err = f.out.Republish(t.Context(), f.pool, Selection{}); err != nil || n != 1000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	kafkatest.CreateTopics(t, f.brokers, testTopic)
	kafkatest.Eventually(t, "all published again", func() bool { return f.stats(t).Unpublished == 0 })

	after := kafkatest.ReadAll(t, f.brokers, testTopic.Name)
	seen := map[string]int64{}
	again := map[string]*kgo.Record{}
	for _, r := range after {
		e := kafkatest.Envelope(t, r)
		if e.AggregateVersion > seen[e.Subject]+1 {
			t.Fatalf("%s: version %d comes after %d", e.Subject, e.AggregateVersion, seen[e.Subject])
		}
		seen[e.Subject] = max(seen[e.Subject], e.AggregateVersion)
		again[e.ID.String()] = r
	}
	if len(again) != 1100 {
		t.Errorf("%d events on the new broker, want 1100", len(again))
	}
	sameHeader := func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }
	for _, r := range before {
		twin := again[kafkatest.Envelope(t, r).ID.String()]
		if twin == nil || !bytes.Equal(twin.Key, r.Key) || !bytes.Equal(twin.Value, r.Value) || twin.Partition != r.Partition ||
			!slices.EqualFunc(twin.Headers, r.Headers, sameHeader) {
			t.Fatalf("the record came back changed: %v and %v", r, twin)
		}
	}
}

func TestRepublishSelects(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.append(t, keys(10, 2)...)
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox SET published_at = now() WHERE seq > 2`); err != nil {
		t.Fatal(err)
	}
	var middle time.Time
	if err := f.pool.QueryRow(t.Context(), `UPDATE outbox SET created_at = now() - interval '1 day' WHERE seq <= 6 RETURNING now() - interval '1 hour'`).Scan(&middle); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		s    Selection
		want int64
	}{
		{"all", Selection{}, 8},
		{"since", Selection{Since: middle}, 4},
		{"until", Selection{Until: middle}, 4},
		{"none between", Selection{Since: middle, Until: middle}, 0},
		{"topic", Selection{Topics: []string{testTopic.Name, "other"}}, 8},
		{"other topic", Selection{Topics: []string{"other"}}, 0},
	} {
		c.s.DryRun = true
		if n, err := f.out.Republish(t.Context(), f.pool, c.s); err != nil || n != c.want {
			t.Errorf("%s: %d rows, %v, want %d", c.name, n, err, c.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	if err := f.out.Maintain(t.Context(), f.pool, time.Hour); err != nil {
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
	if d.Unpublished != 3 || d.Published != 7 || d.OldestAge <= 0 || d.OldestKept == nil || len(d.Leases) != shards ||
		!slices.Equal(d.Topics, []Backlog{{testTopic.Name, 3, 7}}) {
		t.Errorf("%+v", d)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	if !slices.ContainsFunc(d.Partitions, func(p Partition) bool { return p.From == today && p.Bytes > 0 && strings.HasPrefix(p.Name, "outbox_p") }) {
		t.Errorf("no partition of today in %+v", d.Partitions)
	}
}
