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
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// Tests of what is stored about a failing record: inbox row, retry record, parked key, dead letter.

// exec changes the database during a test.
func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// refuse makes the database refuse rows of a table that meet a condition on NEW.
func (f *fixture) refuse(table, condition, state string) {
	f.t.Helper()
	f.exec(fmt.Sprintf(`CREATE FUNCTION refuse_%[1]s() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF %[2]s THEN RAISE EXCEPTION 'refused by a test' USING ERRCODE = '%[3]s'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON %[1]s FOR EACH ROW EXECUTE FUNCTION refuse_%[1]s()`, table, condition, state))
}

// awaitWaiting waits until the consumer is not ready for a reason that contains what.
func (f *fixture) awaitWaiting(c *consumer.Consumer, what string) {
	f.t.Helper()
	kafkatest.Eventually(f.t, "the reason for waiting: "+what, func() bool {
		err := c.Ready(f.t.Context())
		return err != nil && strings.Contains(err.Error(), what)
	})
}

func (f *fixture) awaitReady(c *consumer.Consumer) {
	f.t.Helper()
	kafkatest.Eventually(f.t, "ready again", func() bool { return c.Ready(f.t.Context()) == nil })
}

// place puts records on the partitions that they name.
func (f *fixture) place(records ...*kgo.Record) {
	f.t.Helper()
	cl := kafkatest.NewClient(f.t, f.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err := cl.ProduceSync(f.t.Context(), records...).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

// onPartition sets a record's partition.
func onPartition(partition int32, r *kgo.Record) *kgo.Record {
	r.Partition = partition
	return r
}

func simply(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
	return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
}

// Where the environment prevents a failure from being stored, the partition waits, reports why, and
// goes on by itself. Nothing is lost and no attempt is spent.
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
			f := newFixture(t)
			f.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '54000'; END $$`)
			cons := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(simply)}, Retry: quickly(2)})
			poison := func() *kgo.Record { return &kgo.Record{Topic: sample.TopicParcelEvents, Value: []byte("x")} }
			// A row in every table, as in a database that has been in use.
			f.place(poison())
			kafkatest.Eventually(t, "the first dead letter", func() bool { return f.deadLetters() == 1 })
			f.awaitReady(cons)
			f.exec(c.fault)
			f.place(poison(), f.record(collected("a"), 1))
			f.awaitWaiting(cons, c.reason)
			f.exec(c.mend)
			f.awaitEffects(1)
			f.awaitReady(cons)
			if n := f.deadLetters(); n != 2 {
				t.Errorf("%d dead letters, want 2", n)
			}
		})
	}
}

// A key of any size fits in every place where a key is stored.
func TestAKeyOfAnySize(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	raw := make([]byte, 3000)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	long := hex.EncodeToString(raw)[:4000]
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == long && e.AggregateVersion == 1 && !mended.Load() {
			return errors.New("not yet")
		}
		return effect(ctx, tx, fmt.Sprint(len(e.Data.ParcelID)), fmt.Sprint(e.AggregateVersion))
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
	undecodable := f.record(collected("x"), 1) // parks the key
	undecodable.Key, undecodable.Value = raw, []byte{0, 0, 0, 0, 1, 0xff}
	follower := f.record(collected("x"), 2)
	follower.Key, follower.Value = raw, undecodable.Value
	f.place(undecodable, follower,
		f.record(collected(long), 1), f.record(collected(long), 2), f.record(collected("ok"), 1))
	if diff := cmp.Diff([]string{"2 1"}, f.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	s := retry.New(group, f.outbox)
	for _, l := range f.letters(s, retry.StatusOpen, 2) {
		if !l.Parks || l.Followers != 1 {
			t.Errorf("a dead letter of a key of %d bytes: parks %t, %d followers; want 1", len(l.Key), l.Parks, l.Followers)
		}
		if string(l.Key) == long {
			mended.Store(true)
			if _, err := s.Resubmit(t.Context(), f.pool, l.ID, "ada", "", false); err != nil {
				t.Fatal(err)
			}
		} else if !bytes.Equal(l.Key, raw) {
			t.Errorf("the dead letter's key is not the record's: %d bytes", len(l.Key))
		}
	}
	if diff := cmp.Diff([]string{"2 1", "4000 1", "4000 2"}, f.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// A record whose bytes cannot be stored becomes a dead letter without them. Its key is parked.
func TestARecordThatCannotBeStoredIsABareDeadLetter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		table, condition string
		record           func(f *fixture) *kgo.Record
	}{
		"as a dead letter": {"dead_letters", "NEW.payload IS NOT NULL", func(f *fixture) *kgo.Record {
			r := f.record(collected("a"), 1)
			r.Value = append(bytes.Clone(r.Value), 0)
			return r
		}},
		"as a retry": {"parked_keys", "NEW.state = 'retrying'", func(f *fixture) *kgo.Record { return f.record(collected("a"), 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.refuse(c.table, c.condition, "54000")
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				if e.Data.ParcelID == "a" {
					return errors.New("a bug")
				}
				return simply(ctx, tx, e)
			}
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
			bad := c.record(f)
			f.place(f.record(collected("b"), 1), bad, f.record(collected("a"), 2), f.record(collected("c"), 1))
			if diff := cmp.Diff([]string{"b 1", "c 1"}, f.awaitEffects(2)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			l := f.letters(retry.New(group, f.outbox), retry.StatusOpen, 1)[0]
			if l.Offset != 1 || l.Topic != bad.Topic || string(l.Key) != "a" || !l.Parks || l.Followers != 1 || !strings.Contains(l.Message, "lie in Kafka") {
				t.Errorf("dead letter %+v", l)
			}
		})
	}
}

// A record that cannot be stored even as a bare dead letter waits, and the reason names its place.
func TestARecordThatNoDeadLetterTakesWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.refuse("dead_letters", "NEW.record_offset = 1", "54000")
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(simply)}, Retry: quickly(2)})
	f.place(f.record(collected("a"), 1), &kgo.Record{Topic: sample.TopicParcelEvents, Value: []byte("x")}, f.record(collected("b"), 1))
	f.place(onPartition(1, f.record(collected("c"), 1)), onPartition(1, f.record(collected("d"), 1)))
	f.awaitWaiting(c, "record parcel.events/0/1 cannot be stored")
	kafkatest.Eventually(t, "the other partition", func() bool { return len(f.effects()) == 3 })
	if n := f.deadLetters(); n != 0 {
		t.Errorf("%d dead letters, want none yet", n)
	}
	f.exec(`DROP TRIGGER refuse ON dead_letters`)
	f.awaitEffects(4)
	f.awaitReady(c)
	if n := f.deadLetters(); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}

// The database refuses a handler's write. It is the record's failure where other rows are written,
// and the environment's failure where none is.
func TestRefusedWritesOfHandlers(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"54000", "P0001", "XX000", "23514"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(simply)}, Retry: quickly(3)})
			f.place(f.record(collected("before"), 1))
			f.awaitEffects(1)

			f.refuse("effects", "true", state)
			f.place(f.record(collected("a"), 1), f.record(collected("b"), 1))
			f.awaitWaiting(c, "refused by a test")
			f.exec(`DROP TRIGGER refuse ON effects; DROP FUNCTION refuse_effects`)
			f.awaitEffects(3)
			if parked := f.rows(`SELECT key::text FROM parked_keys`); len(parked) > 0 {
				t.Errorf("an environment's refusal parked %v", parked)
			}

			f.refuse("effects", "NEW.parcel_id = 'c'", state)
			f.place(f.record(collected("c"), 1), f.record(collected("d"), 1))
			f.awaitEffects(4)
			l := f.letters(retry.New(group, f.outbox), retry.StatusOpen, 1)[0]
			if string(l.Key) != "c" || l.Attempts != 3 {
				t.Errorf("dead letter of %q after %d attempts", l.Key, l.Attempts)
			}
		})
	}
}

// The environment fails during a retry and its followers: no attempt is spent.
func TestRefusedWritesOfRetries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var fail atomic.Bool
	fail.Store(true)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "a" && fail.Load() {
			return errors.New("not yet")
		}
		return simply(ctx, tx, e)
	}
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: consumer.Retry{Attempts: 1000, Backoff: quickly(2).Backoff}})
	f.place(f.record(collected("before"), 1), f.record(collected("a"), 1), f.record(collected("a"), 2))
	f.awaitEffects(1)
	kafkatest.Eventually(t, "the key parked with a follower", func() bool { return len(f.rows(`SELECT 'x' FROM parked_records`)) == 1 })
	f.refuse("effects", "true", "54000")
	fail.Store(false)
	f.awaitWaiting(c, "refused by a test")
	attempts := f.rows(`SELECT attempts::text FROM parked_keys`)
	kafkatest.Eventually(t, "some more tries", func() bool { return c.Ready(t.Context()) != nil })
	if again := f.rows(`SELECT attempts::text FROM parked_keys`); !cmp.Equal(attempts, again) {
		t.Errorf("attempts went from %v to %v while the environment refused", attempts, again)
	}
	f.exec(`DROP TRIGGER refuse ON effects`)
	if diff := cmp.Diff([]string{"before 1", "a 1", "a 2"}, f.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
	f.awaitReady(c)
}

// A record with a wrong identity parks its key if its bytes are an event of that key.
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
		spoil func(f *fixture, r *kgo.Record) *kgo.Record
		parks bool
	}{
		"a bad id":       {func(_ *fixture, r *kgo.Record) *kgo.Record { return set(r, "ce_id", "42") }, true},
		"no type":        {func(_ *fixture, r *kgo.Record) *kgo.Record { return set(r, "ce_type", "") }, true},
		"a version of 0": {func(_ *fixture, r *kgo.Record) *kgo.Record { return set(r, "ce_aggregateversion", "0") }, true},
		"two subjects": {func(_ *fixture, r *kgo.Record) *kgo.Record {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_subject", Value: []byte("b")})
			return r
		}, true},
		"another parcel's key": {func(_ *fixture, r *kgo.Record) *kgo.Record { r.Key = []byte("b"); return set(r, "ce_id", "42") }, false},
		"no envelope at all":   {func(_ *fixture, r *kgo.Record) *kgo.Record { r.Headers = nil; return r }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(simply)}, Retry: quickly(2)})
			f.place(c.spoil(f, f.record(collected("a"), 1)), f.record(collected("a"), 2), f.record(collected("b"), 1))
			l := f.letters(retry.New(group, f.outbox), retry.StatusOpen, 1)[0]
			want := []string{"a 2", "b 1"}
			if c.parks {
				want = want[1:]
			}
			if diff := cmp.Diff(want, f.awaitEffects(len(want))); diff != "" || l.Parks != c.parks {
				t.Errorf("parks %t, want %t; effects (-want +got):\n%s", l.Parks, c.parks, diff)
			}
		})
	}
}

// Wrong advisory headers are counted and replaced, and the event is handled.
func TestWrongAdviceNeverFailsARecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var seen atomic.Pointer[consumer.Event[sample.ParcelCollected]]
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		seen.Store(&e)
		return simply(ctx, tx, e)
	}
	reg := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Registerer: reg, Retry: quickly(2)})
	for i, c := range []struct{ header, value string }{
		{event.HeaderTraceParent, "not a traceparent"},
		{event.HeaderTraceState, strings.Repeat("x", 10_000)},
		{event.HeaderCorrelationID, "\x00\xff"},
		{event.HeaderCausationID, strings.Repeat("c", 10_000)},
		{event.HeaderTime, "at noon"},
		{event.HeaderSource, ""},
		{event.HeaderContentType, "\n"},
		{event.HeaderSpecVersion, "9"},
	} {
		r := f.record(collected(fmt.Sprint(i)), 1)
		var headers []kgo.RecordHeader
		for _, h := range r.Headers {
			if h.Key != c.header {
				headers = append(headers, h)
			}
		}
		r.Headers = append(headers, kgo.RecordHeader{Key: c.header, Value: []byte(c.value)})
		r.Timestamp = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
		f.place(r)
		f.awaitEffects(i + 1)
		kafkatest.Eventually(t, c.header+" counted", func() bool {
			return counter(t, reg, "consumer_metadata_replaced_total", "header", c.header) == 1
		})
		if e := seen.Load(); c.header == event.HeaderTime && !e.Time.Equal(r.Timestamp) {
			t.Errorf("without ce_time the event's time is %s, want the record's %s", e.Time, r.Timestamp)
		}
	}
	if n := f.deadLetters(); n > 0 {
		t.Errorf("%d dead letters", n)
	}
}

// Timestamps outside the calendar can be stored.
func TestTimestampsBeyondTheCalendar(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Attempt == 1 && e.AggregateVersion == 1 {
			return errors.New("once")
		}
		return simply(ctx, tx, e)
	})}, Retry: quickly(3)})
	n := 0
	for _, ms := range []int64{-1, -1 << 62, 1<<63 - 1, 253402300800000, 1 << 50} {
		event := f.recordWithID(uuid.Must(uuid.NewV7()), collected(fmt.Sprint(ms)), 1)
		event.Timestamp = time.UnixMilli(ms)
		poison := &kgo.Record{Topic: sample.TopicParcelEvents, Value: []byte("x"), Timestamp: time.UnixMilli(ms)}
		f.place(event, poison, f.record(collected(fmt.Sprint(ms)), 2))
		n++
		f.awaitEffects(2 * n)
	}
	kafkatest.Eventually(t, "the dead letters", func() bool { return f.deadLetters() == n })
	f.awaitNothingParked()
}
