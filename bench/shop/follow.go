package shop

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// stalled is how long no order may make progress before a wait gives up.
const stalled = 60 * time.Second

// Follower records when the orders were confirmed and delivered: when their records reached this
// process. It reads order.events from the beginning in no consumer group and asks no service, so
// that only the broker has more work.
type Follower struct {
	client *kgo.Client
	done   chan struct{} // closed when the follower has ended

	mu        sync.Mutex
	failed    error // why the follower has ended
	confirmed map[string]time.Time
	delivered map[string]time.Time
	news      chan struct{} // closed and replaced at each change
}

// Follow begins to follow the orders of the shop.
func (s *Stack) Follow(ctx context.Context) (*Follower, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(s.Kafka...), kgo.ConsumeTopics(events.TopicOrderEvents),
		kgo.FetchMinBytes(1), kgo.FetchMaxWait(time.Second), kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
	)
	if err != nil {
		return nil, err
	}
	f := &Follower{
		client: client, done: make(chan struct{}), news: make(chan struct{}),
		confirmed: map[string]time.Time{}, delivered: map[string]time.Time{},
	}
	go f.follow(ctx)
	return f, nil
}

func (f *Follower) follow(ctx context.Context) {
	defer close(f.done)
	for {
		fetches := f.client.PollFetches(ctx)
		now := time.Now()
		if err := fetches.Err(); err != nil {
			f.mu.Lock()
			f.failed = err
			f.mu.Unlock()
			return
		}
		f.mu.Lock()
		changed := false
		fetches.EachRecord(func(r *kgo.Record) { changed = f.note(r, now) || changed })
		if changed {
			close(f.news)
			f.news = make(chan struct{})
		}
		f.mu.Unlock()
	}
}

// note records an event and reports whether it is new. The caller has locked f.mu.
func (f *Follower) note(r *kgo.Record, now time.Time) bool {
	var into map[string]time.Time
	for _, h := range r.Headers {
		if h.Key != event.HeaderType {
			continue
		}
		switch string(h.Value) {
		case events.TypeOf[events.OrderConfirmed]().Name:
			into = f.confirmed
		case events.TypeOf[events.OrderDelivered]().Name:
			into = f.delivered
		}
	}
	if into == nil {
		return false
	}
	if _, again := into[string(r.Key)]; again {
		return false // a restarted relay publishes again; the first counts
	}
	into[string(r.Key)] = now
	return true
}

// Counts returns how many orders were confirmed and delivered so far.
func (f *Follower) Counts() (confirmed, delivered int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.confirmed), len(f.delivered)
}

// Confirmed returns when each of the orders was confirmed, without those that were not.
func (f *Follower) Confirmed(orders []Placed) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var at []time.Time
	for _, o := range orders {
		if t, ok := f.confirmed[o.ID]; ok {
			at = append(at, t)
		}
	}
	return at
}

// ConfirmedAt returns when an order was confirmed, or the zero time.
func (f *Follower) ConfirmedAt(id string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.confirmed[id]
}

// Latencies returns the time from the acceptance of each order until it was confirmed.
func (f *Follower) Latencies(orders []Placed) []time.Duration {
	return f.since(orders, func(o Placed) time.Time { return o.Accepted })
}

// SinceSent returns the time from just before the request of each order until it was confirmed.
func (f *Follower) SinceSent(orders []Placed) []time.Duration {
	return f.since(orders, func(o Placed) time.Time { return o.Sent })
}

func (f *Follower) since(orders []Placed, from func(Placed) time.Time) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var late []time.Duration
	for _, o := range orders {
		if t, ok := f.confirmed[o.ID]; ok {
			late = append(late, t.Sub(from(o)))
		}
	}
	return late
}

// AwaitDelivered waits until n orders were delivered. It returns an error when a minute passes
// without progress.
func (f *Follower) AwaitDelivered(ctx context.Context, n int, note func(confirmed, delivered int)) error {
	return f.await(ctx, note, func() bool { return len(f.delivered) >= n })
}

// AwaitConfirmed waits until n orders were confirmed.
func (f *Follower) AwaitConfirmed(ctx context.Context, n int, note func(confirmed, delivered int)) error {
	return f.await(ctx, note, func() bool { return len(f.confirmed) >= n })
}

func (f *Follower) await(ctx context.Context, note func(confirmed, delivered int), enough func() bool) error {
	for {
		f.mu.Lock()
		over, news := enough(), f.news
		confirmed, delivered := len(f.confirmed), len(f.delivered)
		f.mu.Unlock()
		note(confirmed, delivered)
		if over {
			return nil
		}
		timer := time.NewTimer(stalled)
		select {
		case <-news:
			timer.Stop()
		case <-f.done:
			timer.Stop()
			f.mu.Lock()
			defer f.mu.Unlock()
			return fmt.Errorf("follow the orders: %w", f.failed)
		case <-timer.C:
			return fmt.Errorf("no order made progress for %s: %d confirmed, %d delivered", stalled, confirmed, delivered)
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// Close ends the follower.
func (f *Follower) Close() {
	f.client.Close()
	<-f.done
}
