package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/telemetry"
)

const (
	// windowRecords is how many records of a retry partition stay in memory until they are due.
	// When the window is full, fetching of the partition pauses. With the default backoff a retry
	// waits 30 s at most, so the window is full only where more than thirty records of a partition
	// fail per second.
	windowRecords = 1000
	// windowBytes is the same bound in bytes.
	windowBytes = 8 << 20
	// retryConcurrency is how many keys have their next attempt at the same time, each with one
	// connection at a time. A service's work pool has 4 connections by default (see
	// postgres.OpenPools), so retries can use all of them; the loop for new records then waits.
	retryConcurrency = 4
)

// retries is the loop that makes the next attempts of failed records. It reads records of many keys
// ahead and attempts each when it is due, whatever lies before it in its partition. Only offsets
// wait for the records before. The loop needs no ordering within a key, because only one retry
// record per key counts (see package retry).
type retries struct {
	*Consumer
	client  *member
	windows map[topicPartition]*window
}

// window is the records of a retry partition that were read and not yet committed, in offset order.
type window struct {
	items []*retryItem
	bytes int
}

// retryItem is a retry record in memory.
type retryItem struct {
	record  *kgo.Record
	head    retry.Head
	omitted bool      // its payload is in the key's row
	due     time.Time // of the next attempt
	waits   int       // attempts in a row that met something that is down; refusals of a circuit breaker do not count
	trouble error     // a fault of this system that it waits for: a reason not to be ready
	done    bool
}

func (r *retries) run(ctx, work context.Context) {
	for ctx.Err() == nil {
		r.poll(ctx)
		if ctx.Err() != nil {
			break
		}
		r.attemptDue(work)
		r.advance()
		letGo(r.client, r.windows)
	}
}

// poll waits until a record is due or has arrived.
func (r *retries) poll(ctx context.Context) {
	var at time.Time
	some := false
	for _, w := range r.windows {
		for _, it := range w.items {
			if !it.done && (!some || it.due.Before(at)) {
				at, some = it.due, true
			}
		}
	}
	fetches := r.client.fetch(ctx, at, some, windowRecords)
	dropGone(r.client, r.windows)
	fetches.EachRecord(r.add)
}

func (r *retries) add(rec *kgo.Record) {
	tp := topicPartition{rec.Topic, rec.Partition}
	w := r.windows[tp]
	if w == nil {
		w = &window{}
		r.windows[tp] = w
	}
	if n := len(w.items); n > 0 && rec.Offset <= w.items[n-1].record.Offset {
		return // fetched again after a pause or a rebalance
	}
	it := &retryItem{record: rec}
	var err error
	it.head, it.omitted, err = retry.ParseHead(r.cfg.Group, rec.Key, rec.Value, headers(rec))
	if err != nil {
		// It is the head of no key, so ignoring it loses nothing.
		r.log.Error("record on a retry topic is no retry record; ignored",
			"topic", rec.Topic, "partition", rec.Partition, "offset", rec.Offset,
			telemetry.KeySubject, shortened(rec.Key), "error", err)
		r.metrics.records.WithLabelValues(rec.Topic, "rubbish", string(ignored)).Inc()
		it.done = true
	}
	it.due = r.dueOf(it.head, time.Now())
	w.items = append(w.items, it)
	w.bytes += len(rec.Value)
}

// dueOf returns when a retry record seen now has its next attempt: at its own time, but never later
// than the longest wait between attempts, counted from now. Otherwise a clock that was ahead when
// the record was written would block the key until the clocks agree.
func (r *retries) dueOf(h retry.Head, seen time.Time) time.Time {
	policy := r.cfg.Retry.Backoff
	if sub, ok := r.subscriptions[h.EventType]; ok {
		policy = sub.Retry.Backoff
	}
	longest := seen.Add(policy.withDefaults().Max)
	if h.NotBefore.After(longest) {
		return longest
	}
	return h.NotBefore
}

// attemptDue makes every attempt that is due, several keys at once. At most one record per key is
// live, and the key's row serialises attempts.
func (r *retries) attemptDue(ctx context.Context) {
	now := time.Now()
	var g errgroup.Group
	g.SetLimit(retryConcurrency)
	for _, w := range r.windows {
		for _, it := range w.items {
			if it.done || it.due.After(now) {
				continue
			}
			g.Go(func() error {
				err := r.attempt(ctx, it)
				it.done, it.trouble = err == nil, nil
				if err != nil {
					if _, outside := errors.AsType[*outsideError](err); !outside {
						it.trouble = fmt.Errorf("record %s waits, a retry of %s: %w", it.place().Place(), it.head.Place(), err)
					}
					it.due, it.waits = r.cfg.Backoff.after(it.waits, err)
					r.log.Warn("retry has to wait", "topic", it.head.Topic, "partition", it.head.Partition, "offset", it.head.Offset,
						telemetry.KeySubject, shortened(it.head.Key), "kind", errs.KindOf(err).String(), "error", err)
				}
				return nil
			})
		}
	}
	_ = g.Wait() // each record keeps its own error
}

// advance marks the records up to the first that is not done, pauses the fetching of partitions
// with a full window, and updates what Ready and the metrics report as waiting.
func (r *retries) advance() {
	full := map[topicPartition]bool{}
	var trouble error
	waiting := 0
	for tp, w := range r.windows {
		for _, it := range w.items {
			if it.trouble != nil {
				trouble = cmp.Or(trouble, it.trouble)
				waiting++
			}
		}
		n := slices.IndexFunc(w.items, func(it *retryItem) bool { return !it.done })
		if n < 0 {
			n = len(w.items)
		}
		if n > 0 {
			for _, it := range w.items[:n] {
				w.bytes -= len(it.record.Value)
			}
			r.client.MarkCommitRecords(w.items[n-1].record)
			w.items = slices.Clone(w.items[n:])
		}
		if len(w.items) >= windowRecords || w.bytes >= windowBytes {
			full[tp] = true
		}
	}
	r.client.pauseOnly(full)
	r.metrics.waiting.Set(float64(waiting))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retryTrouble = trouble
}
