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
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// TestARefusalOfEveryWriteSpendsNoAttempt: the error alone could be the record's, and a
// harmless write is refused as well. The record's first attempt is still before it.
func TestARefusalOfEveryWriteSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.Attempt))
	}
	c := b.start(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(5)})
	b.together(b.record(delivered("before"), 1))
	b.awaitEffects(1)
	b.refuse("effects", "true", "P0001")
	b.together(b.record(delivered("a"), 1), b.record(delivered("b"), 1))
	b.awaitWaiting(c, "refused by a test")
	b.exec(`DROP TRIGGER refuse ON effects`)
	if diff := cmp.Diff([]string{"before 1", "a 1", "b 1"}, b.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if n := len(b.rows(`SELECT topic FROM outbox`)); n != 0 {
		t.Errorf("%d retries or dead letters, want none", n)
	}
}

// TestBooksThatNothingCanBeWrittenToBlameNoRecord: operators are not told to skip a record
// with which nothing is wrong.
func TestBooksThatNothingCanBeWrittenToBlameNoRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rubbish := func() *kgo.Record { return &kgo.Record{Topic: events.TopicOrderEvents, Value: []byte("x")} }
	c := b.start(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}})
	b.together(rubbish()) // a row in every table, as in a database that has been in use
	kafkatest.Eventually(t, "the first dead letter", func() bool { return b.deadLetters() == 1 })
	b.refuse("dead_letters", "true", "54000")
	b.together(rubbish())
	b.awaitWaiting(c, "refused by a test")
	if err := c.Ready(t.Context()); err != nil && strings.Contains(err.Error(), "operator") {
		t.Errorf("the record is blamed: %v", err)
	}
	b.exec(`DROP TRIGGER refuse ON dead_letters`)
	kafkatest.Eventually(t, "the second dead letter", func() bool { return b.deadLetters() == 2 })
}

// TestAFollowerThatCannotBeStoredIsABareDeadLetterOfItsOwn: its key stays with what parks it.
func TestAFollowerThatCannotBeStoredIsABareDeadLetterOfItsOwn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		return errs.New(errs.Hopeless, "no use")
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}})
	s := retry.New(group, b.outbox)
	b.together(b.record(delivered("a"), 1))
	head := b.letters(s, retry.StatusOpen, 1)[0]
	b.refuse("parked_records", "NEW.key = 'a'", "P0001")
	b.together(b.record(delivered("a"), 2))
	for _, l := range b.letters(s, retry.StatusOpen, 2) {
		if l.Parks != (l.ID == head.ID) {
			t.Errorf("dead letter of offset %d parks: %v", l.Offset, l.Parks)
		}
	}
	if got := b.rows(`SELECT head::text FROM parked_keys`); len(got) != 1 || got[0] != head.ID.String() {
		t.Errorf("the key is parked by %v, want %s", got, head.ID)
	}
}
