package latency

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// way lists the events of an order without trouble, each caused by the one before.
func way() []string {
	return []string{"OrderCreated", "PaymentCompleted", "InventoryReserved", "ShipmentScheduled", "OrderConfirmed"}
}

// step is one event of an order.
type step struct {
	appended time.Time // ce_time: when its transaction, which commits soon after, wrote it to the outbox
	seen     time.Time // when its record reached this process
}

// watcher reads the topics and records each order's steps. It is in no consumer group and commits
// nothing, so only the broker is affected.
type watcher struct {
	client *kgo.Client
	stop   context.CancelFunc
	done   chan struct{} // closed when the watcher has ended
	names  []string

	mu     sync.Mutex
	failed error             // why the watcher has ended
	orders map[string]*steps // by order id
}

// steps are the observed steps of one order. Records can overtake the answer with the order's id,
// so the first of the two creates the entry.
type steps struct {
	at       []step // by index in way; zero if not seen
	complete chan struct{}
}

// watch begins at the present ends of the topics: it sees everything appended after it returns,
// however late the client connects.
func watch(ctx context.Context, brokers []string) (*watcher, error) {
	topics := []string{
		events.TopicOrderEvents, events.TopicPaymentEvents,
		events.TopicInventoryEvents, events.TopicShippingEvents,
	}
	from, err := ends(ctx, brokers, topics)
	if err != nil {
		return nil, fmt.Errorf("find the ends of the topics: %w", err)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumePartitions(from),
		kgo.FetchMinBytes(1), // answer a fetch with the first record
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
	)
	if err != nil {
		return nil, fmt.Errorf("make the Kafka client: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &watcher{client: client, stop: stop, done: make(chan struct{}), names: way(), orders: map[string]*steps{}}
	go w.follow(ctx)
	return w, nil
}

func ends(ctx context.Context, brokers, topics []string) (map[string]map[int32]kgo.Offset, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, topics...)
	if err := errors.Join(err, listed.Error()); err != nil {
		return nil, err
	}
	return listed.KOffsets(), nil
}

func (w *watcher) follow(ctx context.Context) {
	defer close(w.done)
	for {
		fetches := w.client.PollFetches(ctx)
		now := time.Now()
		if err := fetches.Err(); err != nil {
			w.mu.Lock()
			w.failed = err
			w.mu.Unlock()
			return
		}
		fetches.EachRecord(func(r *kgo.Record) { w.note(r, now) })
	}
}

// note records a step. Only the first record of a step counts: a restarted relay publishes again.
func (w *watcher) note(r *kgo.Record, now time.Time) {
	headers := make([]event.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	e, err := event.ParseEnvelope(headers)
	if err != nil {
		return // a foreign record; an order that misses its record times out
	}
	i := slices.Index(w.names, e.Type)
	if i < 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.of(string(r.Key))
	if !o.at[i].seen.IsZero() {
		return
	}
	o.at[i] = step{appended: e.Time, seen: now}
	// Topics are fetched independently, so the last event need not arrive last.
	if !slices.ContainsFunc(o.at, func(s step) bool { return s.seen.IsZero() }) {
		close(o.complete)
	}
}

// of returns an order's steps. The caller has locked w.mu.
func (w *watcher) of(id string) *steps {
	o := w.orders[id]
	if o == nil {
		o = &steps{at: make([]step, len(w.names)), complete: make(chan struct{})}
		w.orders[id] = o
	}
	return o
}

// await returns the steps of an order when all were seen.
func (w *watcher) await(ctx context.Context, id string) ([]step, error) {
	w.mu.Lock()
	o := w.of(id)
	w.mu.Unlock()
	select {
	case <-o.complete:
		return o.at, nil
	case <-w.done:
		return nil, fmt.Errorf("follow the topics: %w", w.failed)
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		var missing []string
		for i, s := range o.at {
			if s.seen.IsZero() {
				missing = append(missing, w.names[i])
			}
		}
		return nil, fmt.Errorf("await order %s, no record of %v: %w", id, missing, ctx.Err())
	}
}

func (w *watcher) close() {
	w.stop()
	<-w.done
	w.client.Close()
}
