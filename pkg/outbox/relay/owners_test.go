package relay

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/outbox/outboxtest"
	"eventshop.example/pkg/postgres"
)

// freezer stops a relay as SIGSTOP does, at a known point: every loop that reaches the point waits,
// and the clock has advanced when the loops continue.
type freezer struct {
	point  point
	frozen chan struct{} // closed when a loop has reached the point
	thaw   chan struct{}
	once   sync.Once
	armed  atomic.Bool
	late   atomic.Int64 // how far the clock has advanced, in ns
}

// freezable makes a relay freeze when it reaches a point, once the freezer is armed.
func freezable(p point) (*freezer, func(*Relay)) {
	z := &freezer{point: p, frozen: make(chan struct{}), thaw: make(chan struct{})}
	return z, func(r *Relay) {
		r.clock = func() time.Time { return time.Now().Add(time.Duration(z.late.Load())) }
		r.at = func(here point) {
			if z.armed.Load() && here == z.point {
				z.once.Do(func() { close(z.frozen) })
			}
			select {
			case <-z.frozen:
				<-z.thaw
			default:
			}
		}
	}
}

func (z *freezer) release() {
	z.late.Store(int64(time.Hour))
	close(z.thaw)
}

// expire ends the leases now, as if their time had passed.
func (f *fixture) expire(t *testing.T) {
	t.Helper()
	if _, err := f.Pool.Exec(t.Context(), `UPDATE outbox_lease SET expires_at = clock_timestamp() - interval '1 s'`); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Pool.Exec(t.Context(), `UPDATE outbox_relay SET expires_at = clock_timestamp() - interval '1 s'`); err != nil {
		t.Fatal(err)
	}
}

// A relay is frozen, another one publishes every row, and then the frozen one continues. It sends
// nothing more: per key the broker receives at most one record twice, the one that was at the
// producer.
func TestAThawedRelaySendsNothingMore(t *testing.T) {
	t.Parallel()
	const rows, distinct = 60, 12
	for p, want := range map[point]int{
		beforeRead:   0,
		beforeAdmit:  0,        // with rows that were read
		afterReplied: distinct, // the broker has one of each key, and the relay has not processed the replies
		beforeMark:   rows,     // the broker may have every record
	} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, kafkatest.Start(t, testTopic))
			z, freeze := freezable(p)
			frozen := f.start(t, Config{Lease: time.Hour, PollEvery: time.Millisecond}, freeze)
			t.Cleanup(func() { // if the test has failed
				select {
				case <-z.thaw:
				default:
					z.release()
				}
			})
			kafkatest.Eventually(t, "the relay to lead", func() bool { return f.Holders(t)[frozen.table.id] == outbox.Shards })
			z.armed.Store(true)
			if p == beforeRead {
				<-z.frozen
			}
			f.Append(t, outboxtest.Keys(rows, distinct)...)
			<-z.frozen

			f.expire(t)
			second := f.start(t, Config{Lease: time.Hour, PollEvery: time.Millisecond})
			f.awaitPublished(t)
			z.release()
			frozen.stop(t)
			if n := f.verify(t); n > want {
				t.Errorf("%d repetitions, want at most %d", n, want)
			}
			if h := f.Holders(t); h[second.table.id] != outbox.Shards {
				t.Errorf("leases %v: the thawed relay gave back what was not its own any more", h)
			}
		})
	}
}

// An operator's hold is like a lost lease: the records at the producer finish, and no record
// follows them. The broker answers only when the hold is in force.
func TestNothingFollowsWhatWasAtTheProducerUnderAHold(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	let := make(chan struct{})
	cluster.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-let })
		return nil, nil, false
	})
	slow := quick
	slow.DrainTimeout = time.Hour
	r := f.start(t, slow)
	f.Append(t, outboxtest.Keys(60, 12)...)
	kafkatest.Eventually(t, "records at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 12 })
	held := make(chan error, 1)
	go func() { held <- f.admin().Hold(context.WithoutCancel(t.Context()), "x") }()
	kafkatest.Eventually(t, "the relay to be held", func() bool { err := r.Ready(); return err != nil && err.Error() == "outbox relay: held (operator: x)" })
	close(let)
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	if s := f.stats(t); s.Published != 12 || s.Unpublished != 48 {
		t.Errorf("%d published, %d not, want 12 and 48", s.Published, s.Unpublished)
	}
	if n := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name)); n != 12 {
		t.Errorf("the broker has %d records, want 12", n)
	}
	if err := f.admin().Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

// Two relays claim at once. The first statement has not ended, as when its process is frozen in it:
// the second relay neither waits nor gets the shards that the first will have.
func TestTwoRelaysClaimAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	a, b := New(f.Pool, f.Out, Config{Lease: time.Hour}), New(f.Pool, f.Out, Config{Lease: time.Hour})
	claim := func(q postgres.Querier, r *Relay) []int16 {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
		defer cancel()
		var got []int16
		var held string
		var mode capture.Mode
		if err := q.QueryRow(ctx, claimShards, r.table.id, r.cfg.Lease).Scan(&got, &held, &mode); err != nil {
			t.Fatal(err)
		}
		return got
	}
	tx := f.Begin(t)
	if got := claim(tx, a); len(got) != outbox.Shards {
		t.Fatalf("the first has %v", got)
	}
	if got := claim(f.Pool, b); len(got) != 0 {
		t.Errorf("the second has %v while the first one's claim is open", got)
	}
	outboxtest.Commit(t, tx)
	if got := claim(f.Pool, b); len(got) != 0 {
		t.Errorf("the second has %v although the first one's lease lasts", got)
	}
	if h := f.Holders(t); h[a.table.id] != outbox.Shards || len(h) != 1 {
		t.Errorf("leases %v", h)
	}
	// Each relay keeps its shards up to its share, and hands the others back by itself.
	if got := claim(f.Pool, a); len(got) != outbox.Shards/2 {
		t.Errorf("the first renews %v, want its share", got)
	}
	if err := b.table.handBack(t.Context(), []int16{0, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if h := f.Holders(t); h[a.table.id] != outbox.Shards {
		t.Errorf("leases %v: one relay gave back another one's", h)
	}
	f.expire(t)
	if got := claim(f.Pool, b); len(got) != outbox.Shards {
		t.Errorf("the second has %v when the first one's leases have run out, want all", got)
	}
	if got := claim(f.Pool, a); len(got) != 0 {
		t.Errorf("the first has %v again", got)
	}
}

// A relay that counts itself as the leader of a shard reads none of its rows when the database has
// another leader.
func TestAReadNeedsTheLeaseInTheDatabase(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.Append(t, outboxtest.Keys(20, 10)...)
	r := New(f.Pool, f.Out, Config{Brokers: f.brokers, Lease: time.Hour})
	r.producers.batched.client.Store(kafkatest.NewClient(t, f.brokers))
	read := func() int {
		t.Helper()
		if _, err := r.readOnce(t.Context(), r.flight.view(time.Now(), 1000), 1000, 1<<20); err != nil {
			t.Fatal(err)
		}
		rows, _, _, _ := r.flight.counts()
		return rows
	}
	lead := func() {
		now := time.Now()
		r.flight.setLeases([]int16{0, 1, 2, 3}, now, now.Add(time.Hour))
	}
	lead()
	if n := read(); n != 0 {
		t.Errorf("%d rows read without a lease", n)
	}
	if _, _, err := r.table.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.expire(t)
	if n := read(); n != 0 {
		t.Errorf("%d rows read with a lease that has run out", n)
	}
	if _, err := f.Pool.Exec(t.Context(), `UPDATE outbox_lease SET holder = $1, expires_at = 'infinity', claims = claims + 1`, uuid.New()); err != nil {
		t.Fatal(err)
	}
	if n := read(); n != 0 {
		t.Errorf("%d rows read with the lease of another relay", n)
	}
	if _, err := f.Pool.Exec(t.Context(), `UPDATE outbox_lease SET holder = $1`, r.table.id); err != nil {
		t.Fatal(err)
	}
	if n := read(); n != 20 {
		t.Errorf("%d rows read with the lease, want 20", n)
	}
	before := r.flight.view(time.Now(), 1000)
	if n := read(); n != 20 || len(before.inFlight) != 20 {
		t.Errorf("%d rows in memory after another read, want the same 20", n)
	}
}
