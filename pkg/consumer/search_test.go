package consumer

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestSearch draws batches with bad records and plays what transact does. Every record is committed
// once, a bad one as failed, each partition's in order, within the promised number of transactions.
func TestSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 600).Draw(t, "records")
		bad := map[*item]bool{}
		var queues []*queue
		for i := range n {
			if i == 0 || rapid.IntRange(0, 9).Draw(t, "another partition") == 0 {
				queues = append(queues, &queue{})
			}
			q := queues[len(queues)-1]
			q.items = append(q.items, &item{kind: subscribed})
		}
		for range rapid.IntRange(0, 3).Draw(t, "bad records") {
			q := rapid.SampledFrom(queues).Draw(t, "of a partition")
			bad[rapid.SampledFrom(q.items).Draw(t, "record")] = true
		}
		var portions []portion
		var want []*item
		for _, q := range queues {
			portions = append(portions, portion{q: q, n: len(q.items)})
			want = append(want, q.items...)
		}
		var done []*item
		transactions := 0
		for s := (search{}); len(portions) > 0; {
			part, rest := split(portions, s.size(size(portions)))
			var items []*item
			for _, p := range part {
				items = append(items, p.items()...)
			}
			transactions++
			if slices.ContainsFunc(items, func(it *item) bool { return bad[it] && it.cause == nil }) {
				if len(items) > 1 {
					s.bad(len(items))
				} else {
					items[0].cause, s = fmt.Errorf("bad"), search{}
				}
				continue
			}
			done = append(done, items...)
			s.good(len(items))
			for _, p := range part {
				p.q.items = p.q.items[p.n:]
			}
			portions = rest
		}
		if !slices.Equal(want, done) {
			t.Fatalf("%d of %d records committed, or in another order", len(done), len(want))
		}
		for _, it := range done {
			if (it.cause != nil) != bad[it] {
				t.Fatalf("a record failed (%v) and is bad (%v)", it.cause, bad[it])
			}
		}
		if limit := 1 + len(bad)*(bits.Len(uint(n))+3); transactions > limit {
			t.Fatalf("%d transactions for %d bad records among %d, want at most %d", transactions, len(bad), n, limit)
		}
	})
}

// TestPace: batches shrink at once where a transaction takes long, and grow where it does not.
func TestPace(t *testing.T) {
	p := pace{most: 500, size: 500}
	var got []int
	for _, took := range []struct {
		n int
		d time.Duration
	}{
		{500, 90 * time.Millisecond},  // about right
		{500, 200 * time.Millisecond}, // twice as long
		{10, 20 * time.Millisecond},   // not full: says nothing
		{250, 20 * time.Millisecond},  // full and quick
		{1, 10 * time.Second},         // one slow transaction is not the end
		{31, time.Millisecond},
		{62, time.Millisecond},
	} {
		p.took(took.n, took.d)
		got = append(got, p.size)
	}
	if diff := cmp.Diff([]int{500, 250, 250, 500, 31, 62, 124}, got); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
	for range 10 {
		p.took(1, time.Hour)
	}
	if p.size != 1 {
		t.Errorf("size %d, want 1", p.size)
	}
}
