package consumer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// skips lists what became of wishes, "place actor reason skipped".
func (b *bench) skips(s *retry.Store) (all []string) {
	b.t.Helper()
	skips, err := s.Skips(b.t.Context(), b.pool, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, k := range skips {
		state := "asked"
		if !k.SkippedAt.IsZero() {
			state = "skipped"
		}
		all = append(all, k.Place.String()+" "+k.Actor+" "+k.Reason+" "+state)
	}
	return all
}

// An operator has a record skipped that nothing takes: the partition goes on, once and for all.
func TestAnOperatorSkipsARecordThatCannotBeStored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.refuse("dead_letters", "NEW.record_offset = 1", "54000")
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(simply)}, Retry: quickly(2)}
	c, stop := b.runs(cfg)
	b.place(b.record(delivered("a"), 1), &kgo.Record{Topic: events.TopicOrderEvents, Value: []byte("x")}, b.record(delivered("b"), 1))
	b.awaitWaiting(c, "record order.events/0/1 cannot be stored")
	s := retry.New(group, b.outbox)
	for range 2 { // again is the same
		k, err := s.Skip(t.Context(), b.pool, retry.Place{Topic: "order.events", Offset: 1}, "ada", "breaks the table")
		if err != nil || k.Actor != "ada" {
			t.Fatalf("%+v, %v", k, err)
		}
	}
	b.awaitEffects(2)
	b.awaitReady(c)
	if diff := cmp.Diff([]string{"order.events/0/1 ada breaks the table skipped"}, b.skips(s)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}

	// Read again from the beginning by a process that knows nothing of it, it has no effect.
	stop()
	b.exec(`TRUNCATE inbox; DROP TRIGGER refuse ON dead_letters`)
	reg := prometheus.NewRegistry()
	cfg.Registerer, cfg.KgoOpts = reg, []kgo.Opt{kgo.ConsumerGroup("elsewhere")}
	b.run(cfg)
	kafkatest.Eventually(t, "all records again", func() bool { return counter(t, reg, "eventshop_consumer_records_total") == 3 })
	if n := counter(t, reg, "eventshop_consumer_records_total", "outcome", "skipped"); n != 1 || b.deadLetters() != 0 {
		t.Errorf("%v skipped, %d dead letters; want 1 and 0", n, b.deadLetters())
	}
}

// A wish about a record that does not wait has no effect; one about a dead letter is refused.
func TestOnlyAWaitingRecordIsSkipped(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := retry.New(group, b.outbox)
	if _, err := s.Skip(t.Context(), b.pool, retry.Place{Topic: "order.events", Offset: 0}, "ada", "too early"); err != nil {
		t.Fatal(err)
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(simply)}, Retry: quickly(2)})
	b.place(b.record(delivered("a"), 1), &kgo.Record{Topic: events.TopicOrderEvents, Value: []byte("x")})
	b.awaitEffects(1)
	b.letters(s, retry.StatusOpen, 1)
	if diff := cmp.Diff([]string{"order.events/0/0 ada too early asked"}, b.skips(s)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
	_, err := s.Skip(t.Context(), b.pool, retry.Place{Topic: "order.events", Offset: 1}, "ada", "r")
	if errs.KindOf(err) != errs.Conflict {
		t.Errorf("skipping a dead letter: %v", err)
	}
	for _, bad := range []retry.Place{{}, {Topic: "t", Partition: -1}, {Topic: "t", Offset: -1}} {
		if _, err := s.Skip(t.Context(), b.pool, bad, "ada", "r"); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := s.Skip(t.Context(), b.pool, retry.Place{Topic: "t"}, "ada", " "); errs.KindOf(err) != errs.Invalid {
		t.Errorf("without a reason: %v", err)
	}
}

// A retry record that waits for ever is skipped likewise, and what follows it goes on.
func TestAnOperatorSkipsARetry(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		switch {
		case e.AggregateVersion == 1 && e.Attempt > 1:
			return errs.New(errs.Transient, "something of ours is away")
		case e.AggregateVersion == 1:
			return errors.New("once")
		}
		return simply(ctx, tx, e)
	}
	c := b.start(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(5)})
	b.place(b.record(delivered("a"), 1), b.record(delivered("a"), 2))
	b.awaitWaiting(c, "a retry of order.events/0/0")
	s := retry.New(group, b.outbox)
	place := retry.Place{Topic: events.RetryTopic("order.events", group).Name, Partition: b.first(events.RetryTopic("order.events", group)).Partition}
	if _, err := s.Skip(t.Context(), b.pool, place, "ada", "will never work"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a 2"}, b.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
	b.awaitReady(c)
	if diff := cmp.Diff([]string{place.String() + " ada will never work skipped"}, b.skips(s)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

// A wish about a retry record that does not wait has no effect either, nor has one of another
// group's.
func TestOnlyAWaitingRetryIsSkipped(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for partition := range events.Partitions {
		place := retry.Place{Topic: events.RetryTopic("order.events", group).Name, Partition: partition}
		if _, err := retry.New(group, b.outbox).Skip(t.Context(), b.pool, place, "ada", "too early"); err != nil {
			t.Fatal(err)
		}
		if asked, err := retry.New("others", b.outbox).Asked(t.Context(), b.pool, place); err != nil || asked[place] {
			t.Errorf("another group is asked: %v, %v", asked, err)
		}
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Attempt == 1 {
			return errors.New("once")
		}
		return simply(ctx, tx, e)
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(5)})
	b.place(b.record(delivered("a"), 1))
	if diff := cmp.Diff([]string{"a 1"}, b.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}
