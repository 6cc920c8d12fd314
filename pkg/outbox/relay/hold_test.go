package relay

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/outboxtest"
)

func TestHoldStopsAllRelaysUntilRelease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	a, b := f.start(t, quick), f.start(t, quick)
	f.Append(t, outboxtest.Keys(2000, 40)...)
	kafkatest.Eventually(t, "the relays to be busy", func() bool { return f.stats(t).Published > 0 })
	for _, reason := range []string{"first", "the disk is full"} { // the second replaces the first
		if err := f.admin().Hold(t.Context(), reason); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []*relay{a, b} {
		if rows, _, _, _ := r.flight.counts(); rows != 0 {
			t.Errorf("%d rows in a relay's memory after Hold, want 0", rows)
		}
	}
	f.Append(t, outboxtest.Keys(50, 40)...)
	f.Out.Wake()
	late := f.start(t, quick) // a relay that starts during the hold
	kafkatest.Eventually(t, "all three to say why they wait", func() bool {
		for _, r := range []*relay{a, b, late} {
			if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "the disk is full") {
				return false
			}
		}
		return true
	})
	before, records := f.stats(t), len(kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	if len(before.Holds) != 1 || before.Holds[0].Reason != "the disk is full" || before.Holds[0].Expires != nil {
		t.Errorf("holds %+v", before.Holds)
	}
	if before.Unpublished < 50 || int64(records) != before.Published || len(f.Holders(t)) != 0 {
		t.Errorf("held: %d unpublished, %d published, %d records, leases %v", before.Unpublished, before.Published, records, f.Holders(t))
	}
	if err := f.admin().Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.awaitPublished(t)
	kafkatest.Eventually(t, "all to be ready", func() bool { return a.Ready() == nil && b.Ready() == nil && late.Ready() == nil })
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
	if err := f.admin().Release(t.Context()); err != nil {
		t.Errorf("release of what is not held: %v", err)
	}
}

// After a hold, batch numbers start again. A broker that still has the topic must not treat the
// batches as repetitions of the first ones, which it would acknowledge and drop.
func TestNothingIsDroppedAfterAHold(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.start(t, quick)
	for range 3 {
		f.Append(t, "a") // a batch of one record each time
		f.awaitPublished(t)
		if err := f.admin().Hold(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if err := f.admin().Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.Append(t, "a")
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

// silent makes the broker never answer a produce request.
func silent(t *testing.T, cluster *kfake.Cluster) {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	cluster.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-end })
		return nil, nil, false
	})
}

func TestHoldInForceWhenTheWaitEnds(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	silent(t, cluster)
	f := newFixture(t, cluster.ListenAddrs())
	slow := quick
	slow.DrainTimeout = time.Hour
	r := f.start(t, slow)
	t.Cleanup(func() { r.abort() }) // so that the relay can end
	f.Append(t, outboxtest.Keys(20, 10)...)
	kafkatest.Eventually(t, "records at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 10 })
	ctx, cancel := context.WithTimeout(t.Context(), 2*testLease)
	defer cancel()
	if err := f.admin().Hold(ctx, "x"); errs.KindOf(err) != errs.Transient {
		t.Errorf("got %v, want Transient while records are at the producer", err)
	}
	if d := f.stats(t); len(d.Holds) != 1 || d.Unpublished != 20 {
		t.Errorf("holds %v, %d unpublished", d.Holds, d.Unpublished)
	}
	if h := f.Holders(t); h[r.table.id] == 0 {
		t.Errorf("leases %v: the relay has records at the producer and does not say so", h)
	}
}
