package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// TestARefusalOfEveryWriteSpendsNoAttempt: the error by itself could be the record's, and a
// harmless write is refused as well. The record keeps its first attempt.
func TestARefusalOfEveryWriteSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.Attempt))
	}
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(5)})
	f.together(f.record(collected("before"), 1))
	f.awaitEffects(1)
	f.refuse("effects", "true", "P0001")
	f.together(f.record(collected("a"), 1), f.record(collected("b"), 1))
	f.awaitWaiting(c, "refused by a test")
	f.exec(`DROP TRIGGER refuse ON effects`)
	if diff := cmp.Diff([]string{"before 1", "a 1", "b 1"}, f.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if n := len(f.rows(`SELECT topic FROM outbox`)); n != 0 {
		t.Errorf("%d retries or dead letters, want none", n)
	}
}

// TestBooksThatNothingCanBeWrittenToBlameNoRecord: while dead letters cannot be written at all,
// Ready does not ask operators to skip a record that has no fault.
func TestBooksThatNothingCanBeWrittenToBlameNoRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	poison := func() *kgo.Record { return &kgo.Record{Topic: sample.TopicParcelEvents, Value: []byte("x")} }
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}})
	f.together(poison()) // a row in every table, as in a database that has been in use
	kafkatest.Eventually(t, "the first dead letter", func() bool { return f.deadLetters() == 1 })
	f.refuse("dead_letters", "true", "54000")
	f.together(poison())
	f.awaitWaiting(c, "refused by a test")
	if err := c.Ready(t.Context()); err != nil && strings.Contains(err.Error(), "operator") {
		t.Errorf("the record is blamed: %v", err)
	}
	f.exec(`DROP TRIGGER refuse ON dead_letters`)
	kafkatest.Eventually(t, "the second dead letter", func() bool { return f.deadLetters() == 2 })
}

// TestAFollowerThatCannotBeStoredIsABareDeadLetterOfItsOwn: its key stays parked by the present
// head.
func TestAFollowerThatCannotBeStoredIsABareDeadLetterOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		return errs.New(errs.Hopeless, "no use")
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
	s := retry.New(group, f.outbox)
	f.together(f.record(collected("a"), 1))
	head := f.letters(s, retry.StatusOpen, 1)[0]
	f.refuse("parked_records", "NEW.key = 'a'", "P0001")
	f.together(f.record(collected("a"), 2))
	for _, l := range f.letters(s, retry.StatusOpen, 2) {
		if l.Parks != (l.ID == head.ID) {
			t.Errorf("dead letter of offset %d parks: %v", l.Offset, l.Parks)
		}
	}
	if got := f.rows(`SELECT head::text FROM parked_keys`); len(got) != 1 || got[0] != head.ID.String() {
		t.Errorf("the key is parked by %v, want %s", got, head.ID)
	}
}
