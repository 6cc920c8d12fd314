package outbox

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/postgres"
)

// freezer stops a relay as SIGSTOP does, at a known point: every loop that comes by waits, and
// the clock has moved on when they go on.
type freezer struct {
	point  point
	frozen chan struct{} // closed when a loop has come to the point
	thaw   chan struct{}
	once   sync.Once
	armed  atomic.Bool
	late   atomic.Int64 // what the clock has moved on, in ns
}

// freezable has a relay freeze when it comes to a point, once it is armed.
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

// expire ends the leases now, as time does.
func (f *fixture) expire(t *testing.T) {
	t.Helper()
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox_lease SET expires_at = clock_timestamp() - interval '1 s'`); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox_relay SET expires_at = clock_timestamp() - interval '1 s'`); err != nil {
		t.Fatal(err)
	}
}

// A relay is frozen, another one publishes everything, and then it goes on. It sends nothing
// more: of each key the broker gets at most the one record twice that it had at the producer.
func TestAThawedRelaySendsNothingMore(t *testing.T) {
	t.Parallel()
	const rows, distinct = 60, 12
	for p, want := range map[point]int{
		beforeRead:   0,
		beforeAdmit:  0,        // with rows in hand
		afterReplied: distinct, // the broker has one of each key, and the relay does not know yet
		beforeMark:   rows,     // the broker may have all
	} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, kafkatest.Start(t, testTopic))
			z, freeze := freezable(p)
			frozen := f.start(t, RelayConfig{Lease: time.Hour, PollEvery: time.Millisecond}, freeze)
			t.Cleanup(func() { // if the test has failed
				select {
				case <-z.thaw:
				default:
					z.release()
				}
			})
			kafkatest.Eventually(t, "the relay to lead", func() bool { return f.holders(t)[frozen.id] == shards })
			z.armed.Store(true)
			if p == beforeRead {
				<-z.frozen
			}
			f.append(t, keys(rows, distinct)...)
			<-z.frozen

			f.expire(t)
			second := f.start(t, RelayConfig{Lease: time.Hour, PollEvery: time.Millisecond})
			f.awaitPublished(t)
			z.release()
			frozen.stop(t)
			if n := f.verify(t); n > want {
				t.Errorf("%d repetitions, want at most %d", n, want)
			}
			if h := f.holders(t); h[second.id] != shards {
				t.Errorf("leases %v: the thawed relay gave back what was not its own any more", h)
			}
		})
	}
}

// An operator's hold is like a lost lease: what is at the producer ends, and nothing follows
// it. The broker answers only when the hold is in force.
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
	f.append(t, keys(60, 12)...)
	kafkatest.Eventually(t, "records at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 12 })
	held := make(chan error, 1)
	go func() { held <- f.out.Hold(context.WithoutCancel(t.Context()), f.pool, "x") }()
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
	if err := f.out.Release(t.Context(), f.pool); err != nil {
		t.Fatal(err)
	}
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

// Two relays claim at once. The statement of the first has not ended, as it is when its
// process is frozen in it: the second neither waits nor gets what the first will have.
func TestTwoRelaysClaimAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	a, b := NewRelay(f.pool, f.out, RelayConfig{Lease: time.Hour}), NewRelay(f.pool, f.out, RelayConfig{Lease: time.Hour})
	claim := func(q postgres.Querier, r *Relay) []int16 {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
		defer cancel()
		var got []int16
		var held string
		var mode Mode
		if err := q.QueryRow(ctx, claimShards, r.id, r.cfg.Lease).Scan(&got, &held, &mode); err != nil {
			t.Fatal(err)
		}
		return got
	}
	tx := f.begin(t)
	if got := claim(tx, a); len(got) != shards {
		t.Fatalf("the first has %v", got)
	}
	if got := claim(f.pool, b); len(got) != 0 {
		t.Errorf("the second has %v while the first one's claim is open", got)
	}
	commit(t, tx)
	if got := claim(f.pool, b); len(got) != 0 {
		t.Errorf("the second has %v although the first one's lease lasts", got)
	}
	if h := f.holders(t); h[a.id] != shards || len(h) != 1 {
		t.Errorf("leases %v", h)
	}
	// Each keeps what it has up to its share, and hands the rest back by itself.
	if got := claim(f.pool, a); len(got) != shards/2 {
		t.Errorf("the first renews %v, want its share", got)
	}
	if err := b.handBack(t.Context(), []int16{0, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if h := f.holders(t); h[a.id] != shards {
		t.Errorf("leases %v: one relay gave back another one's", h)
	}
	f.expire(t)
	if got := claim(f.pool, b); len(got) != shards {
		t.Errorf("the second has %v when the first one's leases have run out, want all", got)
	}
	if got := claim(f.pool, a); len(got) != 0 {
		t.Errorf("the first has %v again", got)
	}
}

// A relay that believes to lead a shard reads nothing of it when the database knows better.
func TestAReadNeedsTheLeaseInTheDatabase(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.append(t, keys(20, 10)...)
	r := NewRelay(f.pool, f.out, RelayConfig{Brokers: f.brokers, Lease: time.Hour})
	r.company.client.Store(kafkatest.NewClient(t, f.brokers))
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
		r.flight.lead([]int16{0, 1, 2, 3}, now, now.Add(time.Hour))
	}
	lead()
	if n := read(); n != 0 {
		t.Errorf("%d rows read without a lease", n)
	}
	if _, _, err := r.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.expire(t)
	if n := read(); n != 0 {
		t.Errorf("%d rows read with a lease that has run out", n)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox_lease SET holder = $1, expires_at = 'infinity'`, uuid.New()); err != nil {
		t.Fatal(err)
	}
	if n := read(); n != 0 {
		t.Errorf("%d rows read with the lease of another relay", n)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox_lease SET holder = $1`, r.id); err != nil {
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
