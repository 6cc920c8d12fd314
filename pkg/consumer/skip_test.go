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
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// skips returns the requests to skip and their results, "place actor reason skipped".
func (f *fixture) skips(s *retry.Store) (all []string) {
	f.t.Helper()
	skips, err := s.Skips(f.t.Context(), f.pool, 0)
	if err != nil {
		f.t.Fatal(err)
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

// An operator has a record skipped that no table accepts. The partition goes on, and the skip is
// final.
func TestAnOperatorSkipsARecordThatCannotBeStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.refuse("dead_letters", "NEW.record_offset = 1", "54000")
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(simply)}, Retry: quickly(2)}
	c, stop := f.runs(cfg)
	f.place(f.record(collected("a"), 1), &kgo.Record{Topic: sample.TopicParcelEvents, Value: []byte("x")}, f.record(collected("b"), 1))
	f.awaitWaiting(c, "record parcel.events/0/1 cannot be stored")
	s := retry.New(group, f.outbox)
	for range 2 { // a repetition changes nothing
		k, err := s.Skip(t.Context(), f.pool, retry.Place{Topic: "parcel.events", Offset: 1}, "ada", "breaks the table")
		if err != nil || k.Actor != "ada" {
			t.Fatalf("%+v, %v", k, err)
		}
	}
	f.awaitEffects(2)
	f.awaitReady(c)
	if diff := cmp.Diff([]string{"parcel.events/0/1 ada breaks the table skipped"}, f.skips(s)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}

	// Read again from the beginning by a new process, the record has no effect.
	stop()
	f.exec(`TRUNCATE inbox; DROP TRIGGER refuse ON dead_letters`)
	reg := prometheus.NewRegistry()
	cfg.Registerer, cfg.KgoOpts = reg, []kgo.Opt{kgo.ConsumerGroup("elsewhere")}
	f.run(cfg)
	kafkatest.Eventually(t, "all records again", func() bool { return counter(t, reg, "consumer_records_total") == 3 })
	if n := counter(t, reg, "consumer_records_total", "outcome", "skipped"); n != 1 || f.deadLetters() != 0 {
		t.Errorf("%v skipped, %d dead letters; want 1 and 0", n, f.deadLetters())
	}
}

// A request to skip a record that does not wait has no effect. A request about a dead letter is
// refused.
func TestOnlyAWaitingRecordIsSkipped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := retry.New(group, f.outbox)
	if _, err := s.Skip(t.Context(), f.pool, retry.Place{Topic: "parcel.events", Offset: 0}, "ada", "too early"); err != nil {
		t.Fatal(err)
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(simply)}, Retry: quickly(2)})
	f.place(f.record(collected("a"), 1), &kgo.Record{Topic: sample.TopicParcelEvents, Value: []byte("x")})
	f.awaitEffects(1)
	f.letters(s, retry.StatusOpen, 1)
	if diff := cmp.Diff([]string{"parcel.events/0/0 ada too early asked"}, f.skips(s)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
	_, err := s.Skip(t.Context(), f.pool, retry.Place{Topic: "parcel.events", Offset: 1}, "ada", "r")
	if errs.KindOf(err) != errs.Conflict {
		t.Errorf("skipping a dead letter: %v", err)
	}
	for _, bad := range []retry.Place{{}, {Topic: "t", Partition: -1}, {Topic: "t", Offset: -1}} {
		if _, err := s.Skip(t.Context(), f.pool, bad, "ada", "r"); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := s.Skip(t.Context(), f.pool, retry.Place{Topic: "t"}, "ada", " "); errs.KindOf(err) != errs.Invalid {
		t.Errorf("without a reason: %v", err)
	}
}

// A retry record that waits for ever is skipped too, and its followers go on.
func TestAnOperatorSkipsARetry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		switch {
		case e.AggregateVersion == 1 && e.Attempt > 1:
			return errs.New(errs.Transient, "something of ours is away")
		case e.AggregateVersion == 1:
			return errors.New("once")
		}
		return simply(ctx, tx, e)
	}
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(5)})
	f.place(f.record(collected("a"), 1), f.record(collected("a"), 2))
	f.awaitWaiting(c, "a retry of parcel.events/0/0")
	s := retry.New(group, f.outbox)
	place := retry.Place{Topic: event.RetryTopic("parcel.events", group).Name, Partition: f.first(event.RetryTopic("parcel.events", group)).Partition}
	if _, err := s.Skip(t.Context(), f.pool, place, "ada", "will never work"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a 2"}, f.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
	f.awaitReady(c)
	if diff := cmp.Diff([]string{place.String() + " ada will never work skipped"}, f.skips(s)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

// A request to skip a retry record that does not wait has no effect either, nor has a request of
// another group.
func TestOnlyAWaitingRetryIsSkipped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for partition := range event.Partitions {
		place := retry.Place{Topic: event.RetryTopic("parcel.events", group).Name, Partition: partition}
		if _, err := retry.New(group, f.outbox).Skip(t.Context(), f.pool, place, "ada", "too early"); err != nil {
			t.Fatal(err)
		}
		if asked, err := retry.New("others", f.outbox).Asked(t.Context(), f.pool, place); err != nil || asked[place] {
			t.Errorf("another group is asked: %v, %v", asked, err)
		}
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Attempt == 1 {
			return errors.New("once")
		}
		return simply(ctx, tx, e)
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(5)})
	f.place(f.record(collected("a"), 1))
	if diff := cmp.Diff([]string{"a 1"}, f.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}
