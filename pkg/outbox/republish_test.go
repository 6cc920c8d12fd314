package outbox

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
)

// quick is a relay that notices a hold, and gives the broker up, within a fraction of a
// second.
var quick = RelayConfig{Lease: testLease, PollEvery: 10 * time.Millisecond, DrainTimeout: 300 * time.Millisecond}

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

	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
	same(t, before, kafkatest.ReadAll(t, f.brokers, testTopic.Name))
}

// same checks that each record is there again as it was.
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

// TestRepublishAfterTheTopicsWereMadeAgain is the operator's procedure beside a relay that
// runs all the time: hold, make the topic again, republish, release.
func TestRepublishAfterTheTopicsWereMadeAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	reg := prometheus.NewRegistry()
	counting := quick
	counting.Registerer = reg
	f.start(t, counting)
	for range 5 {
		f.append(t, keys(1000, 50)...)
	}
	f.awaitPublished(t)
	before := kafkatest.ReadAll(t, f.brokers, testTopic.Name)

	if err := f.out.Hold(t.Context(), f.pool, "topics are made again"); err != nil {
		t.Fatal(err)
	}
	f.append(t, keys(100, 50)...)
	admin := kadm.NewClient(kafkatest.NewClient(t, f.brokers))
	if _, err := admin.DeleteTopic(t.Context(), testTopic.Name); err != nil {
		t.Fatal(err)
	}
	kafkatest.CreateTopics(t, f.brokers, testTopic)
	for range 2 { // the second time it finds nothing left to do
		want := f.stats(t).Published
		if n, err := f.out.Republish(t.Context(), f.pool, Selection{}); err != nil || n != want {
			t.Fatalf("%d rows, %v, want %d", n, err, want)
		}
		if s := f.stats(t); s.Unpublished != 5100 || s.Published != 0 {
			t.Fatalf("%d unpublished and %d published rows while held, want 5100 and 0", s.Unpublished, s.Published)
		}
	}
	if err := f.out.Release(t.Context(), f.pool); err != nil {
		t.Fatal(err)
	}
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
	same(t, before, kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	if refused := refusals(t, reg, "eventshop_outbox_refusals_total"); len(refused) != 0 {
		t.Errorf("after the hold the relay sent to the topic that is gone: %v", refused)
	}
}

// What the relay has read, and what the producer has, is of events after the loss.
func TestRepublishIsNotOvertakenByWhatIsInMemory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.append(t, keys(1000, 50)...)
	first := f.start(t, quick)
	f.awaitPublished(t)
	first.stop(t)

	f.brokers = kafkatest.Start(t) // has no topics
	waits := quick
	waits.KgoOpts = []kgo.Opt{kgo.UnknownTopicRetries(-1)}
	r := f.start(t, waits)
	f.append(t, keys(100, 50)...)
	kafkatest.Eventually(t, "a record of each key at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 50 })
	if n, err := f.out.Republish(t.Context(), f.pool, Selection{}); err != nil || n != 1000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	kafkatest.CreateTopics(t, f.brokers, testTopic)
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

// The broker goes with requests unanswered, so the producer would send their records
// again to the one that comes up empty in its place.
func TestRepublishWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	lost := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, lost.ListenAddrs())
	r := f.start(t, quick)
	f.append(t, keys(1000, 50)...)
	f.awaitPublished(t)
	asked := make(chan struct{})
	var once sync.Once
	lost.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		lost.KeepControl()
		once.Do(func() { close(asked) })
		return nil, errors.New("cut the connection"), true
	})
	f.append(t, keys(100, 50)...)
	<-asked
	kafkatest.Eventually(t, "a record of each key at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 50 })
	lost.Close()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	if n, err := f.out.Republish(ctx, f.pool, Selection{}); err != nil || n != 1000 {
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
	f.append(t, keys(100, 5)...)
	frozen := NewRelay(f.pool, f.out, RelayConfig{Brokers: f.brokers, Lease: testLease})
	frozen.company.client.Store(kafkatest.NewClient(t, f.brokers))
	shards, _, err := frozen.claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	frozen.flight.lead(shards, now, now.Add(time.Hour))
	if _, err := frozen.readOnce(t.Context(), frozen.flight.view(now, 1000), 1000, 1<<20); err != nil {
		t.Fatal(err)
	}
	kafkatest.Eventually(t, "all acknowledged", func() bool { _, _, acked, _ := frozen.flight.counts(); return acked == 100 })
	if n, err := f.out.Republish(t.Context(), f.pool, Selection{}); err != nil || n != 0 {
		t.Fatalf("%d rows, %v, want none: no row is marked", n, err)
	}
	if err := frozen.mark(t.Context(), frozen.flight.takeAcked(1000)); err != nil {
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
	f.append(t, keys(500, 20)...)
	for range 4 {
		errsOf := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := f.out.Republish(t.Context(), f.pool, Selection{})
				errsOf <- err
			}()
		}
		for range 10 {
			f.append(t, keys(50, 20)...)
			f.out.Wake()
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
	f.append(t, keys(200, 20)...)
	f.start(t, quick)
	f.awaitPublished(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := f.out.Republish(ctx, f.pool, Selection{Progress: func(int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	if d := f.stats(t); d.Published != 200 || len(d.Holds) != 0 {
		t.Errorf("%d published rows and holds %v, want 200 and none", d.Published, d.Holds)
	}
	f.append(t, "k0")
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

func TestRepublishOfManyRowsTellsItsProgress(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for range 3 {
		f.append(t, keys(8000, 50)...)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox SET published_at = now()`); err != nil {
		t.Fatal(err)
	}
	var told []int64
	n, err := f.out.Republish(t.Context(), f.pool, Selection{Progress: func(rows int64) { told = append(told, rows) }})
	if err != nil || n != 24_000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if want := []int64{10_000, 20_000, 24_000}; !slices.Equal(told, want) {
		t.Errorf("progress %v, want %v", told, want)
	}
	if d := f.stats(t); d.Unpublished != 24_000 || len(d.Holds) != 0 {
		t.Errorf("%d unpublished, holds %v", d.Unpublished, d.Holds)
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
	if err := f.owner(t).QueryRow(t.Context(), `UPDATE outbox SET created_at = now() - interval '1 day' WHERE seq <= 6 RETURNING now() - interval '1 hour'`).Scan(&middle); err != nil {
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
		{"topic", Selection{Topics: []string{testTopic.Name, "other"}}, 8},
		{"other topic", Selection{Topics: []string{"other"}}, 0},
	} {
		c.s.DryRun = true
		if n, err := f.out.Republish(t.Context(), f.pool, c.s); err != nil || n != c.want {
			t.Errorf("%s: %d rows, %v, want %d", c.name, n, err, c.want)
		}
	}
}
