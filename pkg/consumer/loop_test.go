package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
)

// offline returns a member whose client finds no broker and needs none.
func offline(t *testing.T) *member {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	watch := (&Consumer{log: log, metrics: newMetrics(nil, "testers")}).watchCommits("testers")
	m, err := join(groupOptions([]string{"127.0.0.1:1"}, "testers", []string{"t"}, nil), log, watch, time.Second, func(topicPartition) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.CloseAllowingRebalance)
	t.Cleanup(m.cut) // runs before Close, because no broker answers
	return m
}

// pausedBy returns the partitions whose fetching a client has paused.
func pausedBy(m *member) map[string][]int32 { return m.PauseFetchPartitions(nil) }

func idle(t *testing.T) *Consumer {
	t.Helper()
	return &Consumer{
		cfg: Config{Group: "testers", MaxBatch: 500, Backoff: Backoff{Base: time.Second}, Outbox: outbox.New(outbox.Config{Source: "/test"})}, log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		metrics: newMetrics(nil, "testers"), client: offline(t), backlog: newBacklog(),
	}
}

func at(topic string, partition int32, offset int64) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Offset: offset}
}

func TestAQueueTakesARecordOnce(t *testing.T) {
	t.Parallel()
	b := newBacklog()
	for _, offset := range []int64{3, 4, 4, 3, 7, 5, 8} {
		b.add(uuid.Nil, at("t", 0, offset))
	}
	b.add(uuid.Nil, at("t", 1, 4))
	var got []int64
	for _, it := range b.queues[topicPartition{"t", 0}].items {
		got = append(got, it.record.Offset)
	}
	if diff := cmp.Diff([]int64{3, 4, 7, 8}, got); diff != "" || b.size() != 5 {
		t.Errorf("%d records; offsets (-want +got):\n%s", b.size(), diff)
	}
}

func TestTheBacklogKnowsWhatIsDueAndStartsOneFurtherEachTime(t *testing.T) {
	t.Parallel()
	b := newBacklog()
	if _, some := b.next(true); some {
		t.Error("an empty backlog has work")
	}
	now := time.Now()
	for p := range int32(4) {
		b.add(uuid.Nil, at("t", p, 1))
	}
	b.queues[topicPartition{"t", 2}].due = now.Add(time.Minute)
	b.queues[topicPartition{"t", 3}].items = nil
	starved := map[int32]bool{0: true, 1: true}
	for range 2 {
		due := b.due(now)
		if len(due) != 2 {
			t.Fatalf("%d queues are due, want 2", len(due))
		}
		delete(starved, due[0].partition)
	}
	if len(starved) > 0 {
		t.Errorf("partitions %v are never first", starved)
	}
	if due, some := b.next(true); !some || due.After(now) {
		t.Errorf("next at %s, %v; want now", due, some)
	}
	for p := range int32(2) {
		b.queues[topicPartition{"t", p}].due = now.Add(time.Hour)
	}
	if due, _ := b.next(true); !due.Equal(now.Add(time.Minute)) {
		t.Errorf("next at %s, want in a minute", due.Sub(now))
	}
}

// TestAPartitionThatWaitsIsNotFetched: its backlog stays in Kafka. Other partitions are fetched.
func TestAPartitionThatWaitsIsNotFetched(t *testing.T) {
	t.Parallel()
	c := idle(t)
	c.backlog.add(uuid.Nil, at("t", 0, 1))
	c.backlog.add(uuid.Nil, at("t", 1, 1))
	q := c.backlog.queues[topicPartition{"t", 0}]
	c.postpone(q, errs.New(errs.Transient, "down"))
	q.trouble = errors.New("down")
	c.settle()
	if diff := cmp.Diff(map[string][]int32{"t": {0}}, pausedBy(c.client)); diff != "" || c.trouble == nil {
		t.Errorf("trouble %v, paused (-want +got):\n%s", c.trouble, diff)
	}
	c.committed([]portion{{q: q, n: 1}}, time.Now())
	c.settle()
	if got := pausedBy(c.client); len(got["t"]) != 0 || c.trouble != nil {
		t.Errorf("paused %v, trouble %v after it went on", got, c.trouble)
	}
}

// TestWaitsGrowUntilSomethingGoesOn: the next wait after that starts small again.
func TestWaitsGrowUntilSomethingGoesOn(t *testing.T) {
	t.Parallel()
	c := idle(t)
	c.backlog.add(uuid.Nil, at("t", 0, 1))
	q := c.backlog.queues[topicPartition{"t", 0}]
	down := errs.New(errs.Transient, "down")
	for n, least := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
		before := time.Now()
		c.postpone(q, down)
		if d := q.due.Sub(before); d < least || d > 2*least || q.attempts != n+1 {
			t.Errorf("wait %d is %s, want %s and up to half of it more; %d tries", n, d, least, q.attempts)
		}
	}
	before := time.Now()
	c.postpone(q, errs.New(errs.Transient, "open: %w", refusal(time.Minute)))
	if d := q.due.Sub(before); d < time.Minute || d > time.Minute+time.Second || q.attempts != 3 {
		t.Errorf("a refusal waits %s and counts as try %d, want a minute and no try", d, q.attempts)
	}
	c.backlog.add(uuid.Nil, at("t", 0, 2))
	c.committed([]portion{{q: q, n: 1, cut: true}}, before)
	if !q.waiting || q.attempts != 3 || q.due.Before(before) {
		t.Errorf("what is before a record that waits ended its wait: %+v", q)
	}
	c.committed([]portion{{q: q, n: 1}}, before)
	if q.waiting || q.attempts != 0 || !q.due.IsZero() {
		t.Errorf("it waits on after its head is done: %+v", q)
	}
}

type refusal time.Duration

func (r refusal) Error() string             { return "refused" }
func (r refusal) RetryAfter() time.Duration { return time.Duration(r) }

func TestBackoffNeverMakesABusyLoop(t *testing.T) {
	t.Parallel()
	for _, b := range []Backoff{{Base: 1}, {Base: 1, Max: 1}, {Max: 1}} {
		if got := b.Wait(1); got < 10*time.Millisecond {
			t.Errorf("%+v waits %s, less than the floor", b, got)
		}
	}
	b := Backoff{Base: time.Second, Max: time.Hour}
	for range 100 {
		if got := b.Wait(1); got < 2*time.Second || got >= 3*time.Second {
			t.Fatalf("first wait %s, want 2 s and up to half of it more", got)
		}
	}
}

func TestARetryTakesWhatIsNotSetFromTheGroupThenThePackage(t *testing.T) {
	t.Parallel()
	own, group := Retry{Attempts: 2, Backoff: Backoff{Base: 1}}, Retry{Attempts: 9, Backoff: Backoff{Base: 5}}
	for _, c := range []struct{ r, other, want Retry }{
		{own, group, own},
		{Retry{}, group, group},
		{Retry{Attempts: 2}, group, Retry{2, group.Backoff}},
		{Retry{}, Retry{}, Retry{Attempts: 6}},
	} {
		if got := c.r.withDefaults(c.other); got != c.want {
			t.Errorf("%+v with %+v is %+v, want %+v", c.r, c.other, got, c.want)
		}
	}
}

// TestWhatIsTakenAwayIsForgotten: the new owner of the partition reads it from the committed
// offset.
func TestWhatIsTakenAwayIsForgotten(t *testing.T) {
	t.Parallel()
	m := offline(t)
	var reported []topicPartition
	m.gone = func(tp topicPartition) { reported = append(reported, tp) }
	held := map[topicPartition]int{{"t", 0}: 1, {"t", 1}: 1, {"u", 0}: 1, {"u", 1}: 1}
	m.onAssigned(t.Context(), m.Client, nil)
	m.onRevoked(t.Context(), m.Client, map[string][]int32{"t": {0}})
	dropGone(m, held)
	if diff := cmp.Diff(map[topicPartition]int{{"t", 1}: 1, {"u", 0}: 1, {"u", 1}: 1}, held, cmp.AllowUnexported(topicPartition{})); diff != "" {
		t.Errorf("held after a rebalance (-want +got):\n%s", diff)
	}
	if !m.isAssigned() {
		t.Error("a member that gave up a partition is told to have none")
	}
	m.onLost(t.Context(), m.Client, map[string][]int32{"t": {1}, "u": {1}})
	dropGone(m, held)
	if len(held) != 1 || len(reported) != 3 {
		t.Errorf("held %v after the group threw the member out; told of %v", held, reported)
	}
	if m.isAssigned() {
		t.Error("a member that was thrown out is told to have its share")
	}
	held[topicPartition{"t", 0}] = 1 // assigned again
	dropGone(m, held)
	if len(held) != 2 {
		t.Errorf("a partition that came again is forgotten: %v", held)
	}
}

// TestTheWindowOfRetriesIsBounded: by records and by bytes. It opens again when they are done.
func TestTheWindowOfRetriesIsBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ records, size int }{
		"records": {windowRecords, 1},
		"bytes":   {20, windowBytes/20 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &retries{Consumer: idle(t), client: offline(t), windows: map[topicPartition]*window{}}
			h := retry.Head{
				ID: uuid.Must(uuid.NewV7()), InboxID: uuid.Must(uuid.NewV7()), NotBefore: time.Now().Add(time.Hour),
				Record: retry.Record{Topic: "t", Time: time.Now()},
			}
			add := func(offset int64) { r.add(retryRecord(h, offset, tc.size)) }
			for i := range tc.records - 1 {
				add(int64(i))
				add(int64(i)) // fetched again
			}
			r.advance()
			if got := pausedBy(r.client); len(got) != 0 {
				t.Errorf("paused %v with a window that is not full", got)
			}
			add(int64(tc.records))
			r.advance()
			w := r.windows[topicPartition{"t.testers.retry", 2}]
			if diff := cmp.Diff(map[string][]int32{"t.testers.retry": {2}}, pausedBy(r.client)); diff != "" || len(w.items) != tc.records {
				t.Errorf("%d records, paused (-want +got):\n%s", len(w.items), diff)
			}
			w.items[1].done = true
			r.advance()
			if len(w.items) != tc.records {
				t.Error("it advanced beyond what is undone")
			}
			w.items[0].done = true
			r.advance()
			if got := pausedBy(r.client); len(w.items) != tc.records-2 || len(got["t.testers.retry"]) != 0 {
				t.Errorf("%d records left, paused %v", len(w.items), got)
			}
			for _, it := range w.items {
				it.done = true
			}
			r.advance()
			if len(w.items) != 0 || w.bytes != 0 {
				t.Errorf("%d records and %d bytes left of an empty window", len(w.items), w.bytes)
			}
		})
	}
}

// retryRecord returns a record of the group's retry topic.
func retryRecord(h retry.Head, offset int64, size int) *kgo.Record {
	r := &kgo.Record{Topic: event.RetryTopic("t", "testers").Name, Partition: 2, Offset: offset, Value: make([]byte, size)}
	for name, value := range map[string]string{
		retry.HeaderRetryID: h.ID.String(), retry.HeaderRetryGroup: "testers", retry.HeaderInboxID: h.InboxID.String(),
		retry.HeaderAttempts: "0", retry.HeaderTopic: h.Topic, retry.HeaderPartition: "0", retry.HeaderOffset: fmt.Sprint(offset),
		retry.HeaderTimestamp: h.Time.Format(time.RFC3339Nano), retry.HeaderNotBefore: h.NotBefore.Format(time.RFC3339Nano),
	} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return r
}

// TestAnUnknownRecordOnARetryTopicIsPassed: no key has it as its head.
func TestAnUnknownRecordOnARetryTopicIsPassed(t *testing.T) {
	t.Parallel()
	r := &retries{Consumer: idle(t), client: offline(t), windows: map[topicPartition]*window{}}
	r.add(&kgo.Record{Topic: "t.testers.retry", Value: []byte("rubbish")})
	r.attemptDue(context.Background()) // there is no database: nothing is attempted
	r.advance()
	if w := r.windows[topicPartition{"t.testers.retry", 0}]; len(w.items) != 0 {
		t.Errorf("%d records left", len(w.items))
	}
}

func TestNewRefusesWhatCanNeverWork(t *testing.T) {
	t.Parallel()
	sub := On(new(reaction.Model[int, int]), func(Event[sample.ParcelCollected]) int { return 0 })
	good := Config{Group: "g", Brokers: []string{"127.0.0.1:1"}, Pool: new(pgxpool.Pool), Types: sample.Catalogue(), Decode: new(schema.Codec).Decode, Outbox: new(outbox.Outbox), Subscriptions: []Subscription{sub}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no group":          func(c *Config) { c.Group = "" },
		"no brokers":        func(c *Config) { c.Brokers = nil },
		"no pool":           func(c *Config) { c.Pool = nil },
		"no codec":          func(c *Config) { c.Decode = nil },
		"no outbox":         func(c *Config) { c.Outbox = nil },
		"no subscriptions":  func(c *Config) { c.Subscriptions = nil },
		"two of one type":   func(c *Config) { c.Subscriptions = []Subscription{sub, sub} },
		"impossible client": func(c *Config) { c.KgoOpts = []kgo.Opt{kgo.RequiredAcks(kgo.NoAck())} },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := New(cfg); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
