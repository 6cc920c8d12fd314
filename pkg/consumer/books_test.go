package consumer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// Tests of the books of a failing record: inbox row, retry record, parked key, dead letter.

// exec changes the database around the consumer.
func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// refuse makes the database refuse rows of a table that meet a condition on NEW.
func (b *bench) refuse(table, condition, state string) {
	b.t.Helper()
	b.exec(fmt.Sprintf(`CREATE FUNCTION refuse_%[1]s() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF %[2]s THEN RAISE EXCEPTION 'refused by a test' USING ERRCODE = '%[3]s'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON %[1]s FOR EACH ROW EXECUTE FUNCTION refuse_%[1]s()`, table, condition, state))
}

// awaitWaiting waits until the consumer says that it is not ready for a reason that names what.
func (b *bench) awaitWaiting(c *consumer.Consumer, what string) {
	b.t.Helper()
	kafkatest.Eventually(b.t, "the reason for waiting: "+what, func() bool {
		err := c.Ready(b.t.Context())
		return err != nil && strings.Contains(err.Error(), what)
	})
}

func (b *bench) awaitReady(c *consumer.Consumer) {
	b.t.Helper()
	kafkatest.Eventually(b.t, "ready again", func() bool { return c.Ready(b.t.Context()) == nil })
}

// place puts records on the partitions they name.
func (b *bench) place(records ...*kgo.Record) {
	b.t.Helper()
	cl := kafkatest.NewClient(b.t, b.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err := cl.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// on names a record's partition.
func on(partition int32, r *kgo.Record) *kgo.Record {
	r.Partition = partition
	return r
}

func simply(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
	return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
}

// Where the environment keeps the books from being kept, the partition waits, says why, and
// goes on by itself; nothing is lost and no attempt is spent.
func TestBooksThatTheEnvironmentRefusesWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ fault, mend, reason string }{
		"the table of dead letters is away": {
			`ALTER TABLE dead_letters RENAME TO gone`, `ALTER TABLE gone RENAME TO dead_letters`, "dead_letters",
		},
		"a trigger refuses every dead letter": {
			`CREATE TRIGGER refuse BEFORE INSERT ON dead_letters EXECUTE FUNCTION refuse()`, `DROP TRIGGER refuse ON dead_letters`, "refused",
		},
		"one refuses every action": {
			`CREATE TRIGGER refuse BEFORE INSERT ON dead_letter_actions EXECUTE FUNCTION refuse()`,
			`DROP TRIGGER refuse ON dead_letter_actions`, "refused",
		},
		"the outbox takes nothing": {
			`CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()`, `DROP TRIGGER refuse ON outbox`, "refused",
		},
		"the inbox is away": {`ALTER TABLE inbox RENAME TO gone`, `ALTER TABLE gone RENAME TO inbox`, "inbox"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '54000'; END $$`)
			cons := b.start(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(simply)}, Retry: quickly(2)})
			rubbish := func() *kgo.Record { return &kgo.Record{Topic: events.TopicOrderEvents, Value: []byte("x")} }
			// A row in every table, as in a database that has been in use.
			b.place(rubbish())
			kafkatest.Eventually(t, "the first dead letter", func() bool { return b.deadLetters() == 1 })
			b.awaitReady(cons)
			b.exec(c.fault)
			b.place(rubbish(), b.record(delivered("a"), 1))
			b.awaitWaiting(cons, c.reason)
			b.exec(c.mend)
			b.awaitEffects(1)
			b.awaitReady(cons)
			if n := b.deadLetters(); n != 2 {
				t.Errorf("%d dead letters, want 2", n)
			}
		})
	}
}

// A key of any size, in every place that a key comes to.
func TestAKeyOfAnySize(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	raw := make([]byte, 3000)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	long := hex.EncodeToString(raw)[:4000]
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Data.OrderID == long && e.AggregateVersion == 1 && !mended.Load() {
			return errors.New("not yet")
		}
		return effect(ctx, tx, fmt.Sprint(len(e.Data.OrderID)), fmt.Sprint(e.AggregateVersion))
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(2)})
	undecodable := b.record(delivered("x"), 1) // parks the key
	undecodable.Key, undecodable.Value = raw, []byte{0, 0, 0, 0, 1, 0xff}
	follower := b.record(delivered("x"), 2)
	follower.Key, follower.Value = raw, undecodable.Value
	b.place(undecodable, follower,
		b.record(delivered(long), 1), b.record(delivered(long), 2), b.record(delivered("ok"), 1))
	if diff := cmp.Diff([]string{"2 1"}, b.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	s := retry.New(group, b.outbox)
	for _, l := range b.letters(s, retry.StatusOpen, 2) {
		if !l.Parks || l.Followers != 1 {
			t.Errorf("a dead letter of a key of %d bytes: parks %t, %d followers; want 1", len(l.Key), l.Parks, l.Followers)
		}
		if string(l.Key) == long {
			mended.Store(true)
			if _, err := s.Resubmit(t.Context(), b.pool, l.ID, "ada", "", false); err != nil {
				t.Fatal(err)
			}
		} else if !bytes.Equal(l.Key, raw) {
			t.Errorf("the dead letter's key is not the record's: %d bytes", len(l.Key))
		}
	}
	if diff := cmp.Diff([]string{"2 1", "4000 1", "4000 2"}, b.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// A record whose bytes cannot be stored is a dead letter without them; its key is parked.
func TestARecordThatCannotBeStoredIsABareDeadLetter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		table, condition string
		record           func(b *bench) *kgo.Record
	}{
		"as a dead letter": {"dead_letters", "NEW.payload IS NOT NULL", func(b *bench) *kgo.Record {
			r := b.record(delivered("a"), 1)
			r.Value = append(bytes.Clone(r.Value), 0)
			return r
		}},
		"as a retry": {"parked_keys", "NEW.state = 'retrying'", func(b *bench) *kgo.Record { return b.record(delivered("a"), 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.refuse(c.table, c.condition, "54000")
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
				if e.Data.OrderID == "a" {
					return errors.New("a bug")
				}
				return simply(ctx, tx, e)
			}
			b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(2)})
			bad := c.record(b)
			b.place(b.record(delivered("b"), 1), bad, b.record(delivered("a"), 2), b.record(delivered("c"), 1))
			if diff := cmp.Diff([]string{"b 1", "c 1"}, b.awaitEffects(2)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			l := b.letters(retry.New(group, b.outbox), retry.StatusOpen, 1)[0]
			if l.Offset != 1 || l.Topic != bad.Topic || string(l.Key) != "a" || !l.Parks || l.Followers != 1 || !strings.Contains(l.Message, "lie in Kafka") {
				t.Errorf("dead letter %+v", l)
			}
		})
	}
}

// What not even a bare dead letter takes waits, and says where the record lies.
func TestARecordThatNoDeadLetterTakesWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.refuse("dead_letters", "NEW.record_offset = 1", "54000")
	c := b.start(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(simply)}, Retry: quickly(2)})
	b.place(b.record(delivered("a"), 1), &kgo.Record{Topic: events.TopicOrderEvents, Value: []byte("x")}, b.record(delivered("b"), 1))
	b.place(on(1, b.record(delivered("c"), 1)), on(1, b.record(delivered("d"), 1)))
	b.awaitWaiting(c, "record order.events/0/1 cannot be stored")
	kafkatest.Eventually(t, "the other partition", func() bool { return len(b.effects()) == 3 })
	if n := b.deadLetters(); n != 0 {
		t.Errorf("%d dead letters, want none yet", n)
	}
	b.exec(`DROP TRIGGER refuse ON dead_letters`)
	b.awaitEffects(4)
	b.awaitReady(c)
	if n := b.deadLetters(); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}

// A handler whose write the database refuses: it is the record's failure where others are
// written, and the environment's where none is.
func TestRefusedWritesOfHandlers(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"54000", "P0001", "XX000", "23514"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c := b.start(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(simply)}, Retry: quickly(3)})
			b.place(b.record(delivered("before"), 1))
			b.awaitEffects(1)

			b.refuse("effects", "true", state)
			b.place(b.record(delivered("a"), 1), b.record(delivered("b"), 1))
			b.awaitWaiting(c, "refused by a test")
			b.exec(`DROP TRIGGER refuse ON effects; DROP FUNCTION refuse_effects`)
			b.awaitEffects(3)
			if parked := b.rows(`SELECT key::text FROM parked_keys`); len(parked) > 0 {
				t.Errorf("an environment's refusal parked %v", parked)
			}

			b.refuse("effects", "NEW.order_id = 'c'", state)
			b.place(b.record(delivered("c"), 1), b.record(delivered("d"), 1))
			b.awaitEffects(4)
			l := b.letters(retry.New(group, b.outbox), retry.StatusOpen, 1)[0]
			if string(l.Key) != "c" || l.Attempts != 3 {
				t.Errorf("dead letter of %q after %d attempts", l.Key, l.Attempts)
			}
		})
	}
}

// The environment fails while a retry and its followers are under way: no attempt is spent.
func TestRefusedWritesOfRetries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var fail atomic.Bool
	fail.Store(true)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Data.OrderID == "a" && fail.Load() {
			return errors.New("not yet")
		}
		return simply(ctx, tx, e)
	}
	c := b.start(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: consumer.Retry{Attempts: 1000, Backoff: quickly(2).Backoff}})
	b.place(b.record(delivered("before"), 1), b.record(delivered("a"), 1), b.record(delivered("a"), 2))
	b.awaitEffects(1)
	kafkatest.Eventually(t, "the key parked with a follower", func() bool { return len(b.rows(`SELECT 'x' FROM parked_records`)) == 1 })
	b.refuse("effects", "true", "54000")
	fail.Store(false)
	b.awaitWaiting(c, "refused by a test")
	attempts := b.rows(`SELECT attempts::text FROM parked_keys`)
	kafkatest.Eventually(t, "some more tries", func() bool { return c.Ready(t.Context()) != nil })
	if again := b.rows(`SELECT attempts::text FROM parked_keys`); !cmp.Equal(attempts, again) {
		t.Errorf("attempts went from %v to %v while the environment refused", attempts, again)
	}
	b.exec(`DROP TRIGGER refuse ON effects`)
	if diff := cmp.Diff([]string{"before 1", "a 1", "a 2"}, b.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
	b.awaitReady(c)
}

// A record with a wrong identity parks its key where its bytes are an event of it.
func TestAnEventWithAWrongIdentityParksItsKey(t *testing.T) {
	t.Parallel()
	set := func(r *kgo.Record, name, value string) *kgo.Record {
		for i := range r.Headers {
			if r.Headers[i].Key == name {
				r.Headers[i].Value = []byte(value)
			}
		}
		return r
	}
	for name, c := range map[string]struct {
		spoil func(b *bench, r *kgo.Record) *kgo.Record
		parks bool
	}{
		"a bad id":       {func(_ *bench, r *kgo.Record) *kgo.Record { return set(r, "ce_id", "42") }, true},
		"no type":        {func(_ *bench, r *kgo.Record) *kgo.Record { return set(r, "ce_type", "") }, true},
		"a version of 0": {func(_ *bench, r *kgo.Record) *kgo.Record { return set(r, "ce_aggregateversion", "0") }, true},
		"two subjects": {func(_ *bench, r *kgo.Record) *kgo.Record {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_subject", Value: []byte("b")})
			return r
		}, true},
		"another order's key": {func(_ *bench, r *kgo.Record) *kgo.Record { r.Key = []byte("b"); return set(r, "ce_id", "42") }, false},
		"no envelope at all":  {func(_ *bench, r *kgo.Record) *kgo.Record { r.Headers = nil; return r }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(simply)}, Retry: quickly(2)})
			b.place(c.spoil(b, b.record(delivered("a"), 1)), b.record(delivered("a"), 2), b.record(delivered("b"), 1))
			l := b.letters(retry.New(group, b.outbox), retry.StatusOpen, 1)[0]
			want := []string{"a 2", "b 1"}
			if c.parks {
				want = want[1:]
			}
			if diff := cmp.Diff(want, b.awaitEffects(len(want))); diff != "" || l.Parks != c.parks {
				t.Errorf("parks %t, want %t; effects (-want +got):\n%s", l.Parks, c.parks, diff)
			}
		})
	}
}

// Wrong advice is counted and replaced, and the event handled.
func TestWrongAdviceNeverFailsARecord(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var seen atomic.Pointer[consumer.Event[events.OrderDelivered]]
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		seen.Store(&e)
		return simply(ctx, tx, e)
	}
	reg := prometheus.NewRegistry()
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Registerer: reg, Retry: quickly(2)})
	for i, c := range []struct{ header, value string }{
		{events.HeaderTraceParent, "not a traceparent"},
		{events.HeaderTraceState, strings.Repeat("x", 10_000)},
		{events.HeaderCorrelationID, "\x00\xff"},
		{events.HeaderCausationID, strings.Repeat("c", 10_000)},
		{events.HeaderTime, "at noon"},
		{events.HeaderSource, ""},
		{events.HeaderContentType, "\n"},
		{events.HeaderSpecVersion, "9"},
	} {
		r := b.record(delivered(fmt.Sprint(i)), 1)
		var headers []kgo.RecordHeader
		for _, h := range r.Headers {
			if h.Key != c.header {
				headers = append(headers, h)
			}
		}
		r.Headers = append(headers, kgo.RecordHeader{Key: c.header, Value: []byte(c.value)})
		r.Timestamp = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
		b.place(r)
		b.awaitEffects(i + 1)
		kafkatest.Eventually(t, c.header+" counted", func() bool {
			return counter(t, reg, "eventshop_consumer_metadata_replaced_total", "header", c.header) == 1
		})
		if e := seen.Load(); c.header == events.HeaderTime && !e.Time.Equal(r.Timestamp) {
			t.Errorf("without ce_time the event's time is %s, want the record's %s", e.Time, r.Timestamp)
		}
	}
	if n := b.deadLetters(); n > 0 {
		t.Errorf("%d dead letters", n)
	}
}

// Times that no calendar holds fit the books.
func TestTimestampsBeyondTheCalendar(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Attempt == 1 && e.AggregateVersion == 1 {
			return errors.New("once")
		}
		return simply(ctx, tx, e)
	})}, Retry: quickly(3)})
	n := 0
	for _, ms := range []int64{-1, -1 << 62, 1<<63 - 1, 253402300800000, 1 << 50} {
		event := b.recordWithID(uuid.Must(uuid.NewV7()), delivered(fmt.Sprint(ms)), 1)
		event.Timestamp = time.UnixMilli(ms)
		rubbish := &kgo.Record{Topic: events.TopicOrderEvents, Value: []byte("x"), Timestamp: time.UnixMilli(ms)}
		b.place(event, rubbish, b.record(delivered(fmt.Sprint(ms)), 2))
		n++
		b.awaitEffects(2 * n)
	}
	kafkatest.Eventually(t, "the dead letters", func() bool { return b.deadLetters() == n })
	b.awaitNothingParked()
}
