package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

func TestBackoffGrowsJittersAndIsCapped(t *testing.T) {
	b := Backoff{}.withDefaults()
	for _, c := range []struct {
		attempt int
		random  float64
		want    time.Duration
	}{
		{1, 0, 200 * time.Millisecond},
		{2, 0, 400 * time.Millisecond},
		{5, 0, 3200 * time.Millisecond},
		{5, 0.5, 4 * time.Second},
		{8, 0.9, 30 * time.Second},
		{9, 0, 30 * time.Second},
		{1000000, 0.5, 30 * time.Second},
	} {
		if got := b.wait(c.attempt, c.random); got != c.want {
			t.Errorf("wait(%d, %v) = %s, want %s", c.attempt, c.random, got, c.want)
		}
	}
}

// TestTakeNeverBatchesAKeyBesideItsCall draws queues and checks the batch cut from them: a prefix
// of each queue, within the limit, and no key twice when one of its records calls.
func TestTakeNeverBatchesAKeyBesideItsCall(t *testing.T) {
	calls := Subscription{call: func(any, received) (func(context.Context) (any, error), error) { return nil, nil }}
	rapid.Check(t, func(t *rapid.T) {
		var queues []*queue
		for p := range rapid.IntRange(1, 3).Draw(t, "partitions") {
			q := &queue{topicPartition: topicPartition{"t", int32(p)}}
			for range rapid.IntRange(0, 8).Draw(t, "records") {
				it := &item{kind: subscribed, record: &kgo.Record{Key: []byte(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key"))}}
				if rapid.Bool().Draw(t, "calls") {
					it.sub = calls
					it.call = rapid.SampledFrom([]callState{unseen, notDue, barred, calling, answered}).Draw(t, "call")
				}
				q.items = append(q.items, it)
			}
			queues = append(queues, q)
		}
		limit := rapid.IntRange(1, 10).Draw(t, "limit")
		seen, calling, total := map[string]int{}, map[string]bool{}, 0
		for _, s := range take(queues, limit) {
			for _, it := range s.items() {
				k := string(it.record.Key)
				seen[k]++
				calling[k] = calling[k] || it.sub.call != nil
				total++
				if it.awaits() {
					t.Fatalf("a record of key %s is taken without its answer", k)
				}
			}
		}
		if total > limit {
			t.Fatalf("%d records in a batch of %d", total, limit)
		}
		for k, n := range seen {
			if calling[k] && n > 1 {
				t.Fatalf("key %s stands %d times in the batch beside a call", k, n)
			}
		}
		if total == 0 {
			for _, q := range queues {
				if len(q.items) > 0 && !q.items[0].awaits() {
					t.Fatal("nothing taken though something is due")
				}
			}
		}
	})
}

func TestPoisonIDIsOfItsPlaceAndTime(t *testing.T) {
	at := time.UnixMilli(1764000000123)
	r := &kgo.Record{Topic: "t", Partition: 3, Offset: 42, Timestamp: at}
	id := poisonID(r)
	if id != poisonID(r) {
		t.Error("the same record has two ids")
	}
	if id.Version() != 7 {
		t.Errorf("version %d, want 7", id.Version())
	}
	sec, nsec := id.Time().UnixTime()
	if got := time.Unix(sec, nsec); got.UnixMilli() != at.UnixMilli() {
		t.Errorf("time %s, want %s", got, at)
	}
	r.Offset++
	if id == poisonID(r) {
		t.Error("two records have one id")
	}
}
