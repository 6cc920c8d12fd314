package relay

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/outbox/outboxtest"
)

// TestRepublishFillsABrokerThatLostItsData publishes to one broker, then to an empty one, while
// appends continue.
func TestRepublishFillsABrokerThatLostItsData(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.Append(t, outboxtest.Keys(1000, 50)...)
	first := f.start(t, Config{})
	kafkatest.Eventually(t, "all published", func() bool { return f.stats(t).Unpublished == 0 })
	first.stop(t)
	before := kafkatest.ReadAll(t, f.brokers, testTopic.Name)

	// The new broker has no topics yet: the relay of a running service waits for them.
	f.brokers = kafkatest.Start(t)
	f.start(t, Config{})
	f.Append(t, outboxtest.Keys(100, 50)...)
	n, err := f.admin().Republish(t.Context(), admin.Selection{DryRun: true})
	if err != nil || n != 1000 || f.stats(t).Unpublished != 100 {
		t.Fatalf("dry run: %d rows, %v, %d unpublished", n, err, f.stats(t).Unpublished)
	}
	if n, err = f.admin().Republish(t.Context(), admin.Selection{}); err != nil || n != 1000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	kafkatest.CreateTopics(t, f.brokers, testTopic)
	kafkatest.Eventually(t, "all published again", func() bool { return f.stats(t).Unpublished == 0 })

	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
	same(t, before, kafkatest.ReadAll(t, f.brokers, testTopic.Name))
}

// same checks that each record exists again unchanged.
func same(t *testing.T, before, after []*kgo.Record) {
	t.Helper()
	again := map[string]*kgo.Record{}
	for _, r := range after {
		again[kafkatest.Envelope(t, r).ID.String()] = r
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

// TestRepublishAfterTheTopicsWereMadeAgain follows the operators' procedure while a relay runs:
// hold, create the topic again, republish, release.
func TestRepublishAfterTheTopicsWereMadeAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	reg := prometheus.NewRegistry()
	counting := quick
	counting.Registerer = reg
	f.start(t, counting)
	for range 5 {
		f.Append(t, outboxtest.Keys(1000, 50)...)
	}
	f.awaitPublished(t)
	before := kafkatest.ReadAll(t, f.brokers, testTopic.Name)

	if err := f.admin().Hold(t.Context(), "topics are made again"); err != nil {
		t.Fatal(err)
	}
	f.Append(t, outboxtest.Keys(100, 50)...)
	topics := kadm.NewClient(kafkatest.NewClient(t, f.brokers))
	if _, err := topics.DeleteTopic(t.Context(), testTopic.Name); err != nil {
		t.Fatal(err)
	}
	kafkatest.CreateTopics(t, f.brokers, testTopic)
	for range 2 { // the second time it finds nothing left to do
		want := f.stats(t).Published
		if n, err := f.admin().Republish(t.Context(), admin.Selection{}); err != nil || n != want {
			t.Fatalf("%d rows, %v, want %d", n, err, want)
		}
		if s := f.stats(t); s.Unpublished != 5100 || s.Published != 0 {
			t.Fatalf("%d unpublished and %d published rows while held, want 5100 and 0", s.Unpublished, s.Published)
		}
	}
	if err := f.admin().Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
	same(t, before, kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	if refused := refusals(t, reg, "outbox_refusals_total"); len(refused) != 0 {
		t.Errorf("after the hold the relay sent to the topic that is gone: %v", refused)
	}
}

// The rows that the relay has read, and the records at its producer, are of events after the loss.
func TestRepublishIsNotOvertakenByWhatIsInMemory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.Append(t, outboxtest.Keys(1000, 50)...)
	first := f.start(t, quick)
	f.awaitPublished(t)
	first.stop(t)

	f.brokers = kafkatest.Start(t) // has no topics
	waits := quick
	waits.KgoOpts = []kgo.Opt{kgo.UnknownTopicRetries(-1)}
	r := f.start(t, waits)
	f.Append(t, outboxtest.Keys(100, 50)...)
	kafkatest.Eventually(t, "a record of each key at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 50 })
	if n, err := f.admin().Republish(t.Context(), admin.Selection{}); err != nil || n != 1000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	kafkatest.CreateTopics(t, f.brokers, testTopic)
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

// The broker disappears with unanswered requests, so the producer would send their records again to
// the empty broker that replaces it.
func TestRepublishWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	lost := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, lost.ListenAddrs())
	r := f.start(t, quick)
	f.Append(t, outboxtest.Keys(1000, 50)...)
	f.awaitPublished(t)
	asked := make(chan struct{})
	var once sync.Once
	lost.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		lost.KeepControl()
		once.Do(func() { close(asked) })
		return nil, errors.New("cut the connection"), true
	})
	f.Append(t, outboxtest.Keys(100, 50)...)
	<-asked
	kafkatest.Eventually(t, "a record of each key at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 50 })
	lost.Close()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	if n, err := f.admin().Republish(ctx, admin.Selection{}); err != nil || n != 1000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	restartable(t, t.TempDir(), port(t, f.brokers[0]))
	kafkatest.CreateTopics(t, f.brokers, testTopic)
	f.awaitPublished(t)
	t.Logf("%d repetitions", f.verify(t))
}

// A relay was frozen between the lost broker's acknowledgement and the mark.
func TestALateMarkIsNotForALaterPublication(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.Append(t, outboxtest.Keys(100, 5)...)
	frozen := New(f.Pool, f.Out, Config{Brokers: f.brokers, Lease: testLease})
	frozen.producers.batched.client.Store(kafkatest.NewClient(t, f.brokers))
	shards, _, err := frozen.table.claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	frozen.flight.setLeases(shards, now, now.Add(time.Hour))
	if _, err := frozen.readOnce(t.Context(), frozen.flight.view(now, 1000), 1000, 1<<20); err != nil {
		t.Fatal(err)
	}
	kafkatest.Eventually(t, "all acknowledged", func() bool { _, _, acked, _ := frozen.flight.counts(); return acked == 100 })
	if n, err := f.admin().Republish(t.Context(), admin.Selection{}); err != nil || n != 0 {
		t.Fatalf("%d rows, %v, want none: no row is marked", n, err)
	}
	if err := frozen.table.mark(t.Context(), frozen.flight.takeAcked(1000)); err != nil {
		t.Fatal(err)
	}
	if n := f.stats(t).Unpublished; n != 100 {
		t.Errorf("%d rows are unpublished after the late mark, want 100", n)
	}
	f.brokers = kafkatest.Start(t, testTopic)
	f.start(t, quick)
	f.awaitPublished(t)
	f.verify(t)
}

func TestRepublishAgainAndAgainBesideRelays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.start(t, quick)
	f.start(t, quick)
	f.Append(t, outboxtest.Keys(500, 20)...)
	for range 4 {
		errsOf := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := f.admin().Republish(t.Context(), admin.Selection{})
				errsOf <- err
			}()
		}
		for range 10 {
			f.Append(t, outboxtest.Keys(50, 20)...)
			f.Out.Wake()
		}
		a, b := <-errsOf, <-errsOf
		if a != nil {
			a, b = b, a
		}
		if a != nil || b != nil && errs.KindOf(b) != errs.Conflict {
			t.Fatalf("two at once: %v and %v, want at most one conflict", a, b)
		}
	}
	f.awaitPublished(t)
	t.Logf("%d repetitions", f.verify(t))
}

func TestRepublishThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.Append(t, outboxtest.Keys(200, 20)...)
	f.start(t, quick)
	f.awaitPublished(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := f.admin().Republish(ctx, admin.Selection{Progress: func(int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	if d := f.stats(t); d.Published != 200 || len(d.Holds) != 0 {
		t.Errorf("%d published rows and holds %v, want 200 and none", d.Published, d.Holds)
	}
	f.Append(t, "k0")
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}
