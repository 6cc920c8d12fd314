package relays

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// occurrence identifies an event as consumers do: by the order and its version.
type occurrence struct {
	key     string
	version int64
}

// watcher reads the topic from its present end, in no consumer group, and records when each event
// arrived for the first time.
type watcher struct {
	client *kgo.Client
	ended  chan error

	mu       sync.Mutex
	seen     map[occurrence]time.Time
	last     map[string]int64 // by key: the highest version seen
	want     int
	complete chan struct{} // closed when want events are seen
	first    time.Time
	newest   time.Time
	repeated int
	disorder int // first occurrences that arrived before one of a lower version
}

func watch(ctx context.Context, brokers []string, want int) (*watcher, error) {
	admin, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	ends, err := kadm.NewClient(admin).ListEndOffsets(ctx, events.TopicOrderEvents)
	if err := errors.Join(err, ends.Error()); err != nil {
		return nil, fmt.Errorf("find the topic's end: %w", err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumePartitions(ends.KOffsets()), kgo.FetchMinBytes(1),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted())) // as the shop's consumers
	if err != nil {
		return nil, err
	}
	w := &watcher{
		client: client, ended: make(chan error, 1), want: want, complete: make(chan struct{}),
		seen: make(map[occurrence]time.Time, want), last: map[string]int64{},
	}
	go func() { w.ended <- w.follow(ctx) }()
	return w, nil
}

func (w *watcher) follow(ctx context.Context) error {
	for {
		fetches := w.client.PollFetches(ctx)
		now := time.Now()
		if fetches.IsClientClosed() {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read the topic: %w", err)
		}
		w.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) { w.note(r, now) })
		w.mu.Unlock()
	}
}

func (w *watcher) note(r *kgo.Record, now time.Time) {
	e := occurrence{key: string(r.Key)}
	for _, h := range r.Headers {
		if h.Key == event.HeaderAggregateVersion {
			e.version, _ = strconv.ParseInt(string(h.Value), 10, 64) // 0 is no valid version of an event
		}
	}
	if _, ok := w.seen[e]; ok {
		w.repeated++
		return
	}
	if e.version != w.last[e.key]+1 {
		w.disorder++
	}
	w.last[e.key] = max(w.last[e.key], e.version)
	w.seen[e], w.newest = now, now
	if len(w.seen) == 1 {
		w.first = now
	}
	if len(w.seen) == w.want {
		close(w.complete)
	}
}

// await returns when every event was seen.
func (w *watcher) await(ctx context.Context) error {
	select {
	case <-w.complete:
		return nil
	case err := <-w.ended:
		return err
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		return fmt.Errorf("%d of %d events seen: %w", len(w.seen), w.want, ctx.Err())
	}
}

func (w *watcher) close() { w.client.Close() }
