package retry

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

// head returns a record that failed once.
func (f *fixture) head(key string) Head {
	return Head{
		Record: f.record(key), InboxID: uuid.Must(uuid.NewV7()), EventType: "ParcelAccepted", NotBefore: time.Now().UTC().Truncate(time.Microsecond),
		Failure: Failure{}.Failed(errors.New("not this time"), []byte("stack"), time.Now().UTC().Truncate(time.Microsecond)),
	}
}

// park parks a key by a record that failed once, and returns its retry record.
func (f *fixture) park(t testing.TB, key string) Head {
	t.Helper()
	before, _ := f.sent(t)
	f.tx(t, func(tx pgx.Tx) error { return f.Park(t.Context(), tx, f.head(key)) })
	after, _ := f.sent(t)
	if len(after) != len(before)+1 {
		t.Fatalf("%d retry records, want %d", len(after), len(before)+1)
	}
	return after[len(before)]
}

// lockAwaited reports whether a session of this database waits for another's lock.
func (f *fixture) lockAwaited(t testing.TB) (yes bool) {
	t.Helper()
	err := f.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE a.datname = current_database() AND NOT l.granted)`).Scan(&yes)
	if err != nil {
		t.Fatal(err)
	}
	return yes
}

// TestOneOwnerAtATimeTakesARetryRecord: two processes have the same retry record. The second waits
// for the first and finds the key as the first left it.
func TestOneOwnerAtATimeTakesARetryRecord(t *testing.T) {
	t.Parallel()
	undone := errors.New("the first owner's transaction fails")
	for name, tc := range map[string]struct {
		first   func(f *fixture, tx pgx.Tx, h Head) error
		current bool // for the second
	}{
		"released": {func(f *fixture, tx pgx.Tx, h Head) error { return f.Release(t.Context(), tx, h.ParkedKey()) }, false},
		"replaced": {func(f *fixture, tx pgx.Tx, h Head) error { return f.Replace(t.Context(), tx, h.ParkedKey(), h.ID, h) }, false},
		"given up": {func(f *fixture, tx pgx.Tx, h Head) error {
			_, _, err := f.BuryHead(t.Context(), tx, h.ID, h, h.InboxID)
			return err
		}, false},
		"undone":     {func(*fixture, pgx.Tx, Head) error { return undone }, true},
		"left alone": {func(*fixture, pgx.Tx, Head) error { return nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			h := f.park(t, "o-1")
			second := make(chan bool, 1)
			err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
				if current, err := f.Take(t.Context(), tx, h); err != nil || !current {
					t.Errorf("first: %v, %v", current, err)
				}
				go func() {
					f.tx(t, func(tx pgx.Tx) error {
						current, err := f.Take(t.Context(), tx, h)
						second <- current
						return err
					})
				}()
				kafkatest.Eventually(t, "the second owner to wait", func() bool { return len(second) > 0 || f.lockAwaited(t) })
				if len(second) > 0 {
					t.Error("the second did not wait for the first")
				}
				return tc.first(f, tx, h)
			})
			if err != nil && !errors.Is(err, undone) {
				t.Fatal(err)
			}
			if got := <-second; got != tc.current {
				t.Errorf("current for the second: %v, want %v", got, tc.current)
			}
		})
	}
}

// TestOnlyTheHeadOfItsKeyCounts: an earlier retry record does not count, nor does one of a key that
// waits for an operator, nor one of another group.
func TestOnlyTheHeadOfItsKeyCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.park(t, "o-1")
	other := h
	other.ID = uuid.Must(uuid.NewV7())
	elsewhere := h
	elsewhere.Topic = "door.events"
	if !f.current(t, h) || f.current(t, other) || f.current(t, elsewhere) {
		t.Error("current is not the one retry record")
	}
	if ok, _, err := New("notices", f.out).Current(t.Context(), f.pool, h); err != nil || ok {
		t.Errorf("another group's: %v, %v", ok, err)
	}
	var id uuid.UUID
	f.tx(t, func(tx pgx.Tx) (err error) {
		id, _, err = f.BuryHead(t.Context(), tx, h.ID, h, h.InboxID)
		return err
	})
	dead := h
	dead.ID = id // the head of the key, and no retry record
	if f.current(t, h) || f.current(t, dead) {
		t.Error("a retry record counts though its key waits for a person")
	}
	f.tx(t, func(tx pgx.Tx) error {
		err := f.Replace(t.Context(), tx, h.ParkedKey(), h.ID, h)
		wantKind(t, err, errs.Internal)
		return nil
	})
}

// TestAKeyThatWasParkedMeanwhileIsTransient: the second transaction writes nothing and tries again,
// because its record is no head.
func TestAKeyThatWasParkedMeanwhileIsTransient(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.park(t, "o-1")
	f.bury(t, f.letter("o-2"))
	before := f.snapshot(t)
	for _, key := range []string{"o-1", "o-2"} {
		for what, second := range map[string]func(tx pgx.Tx) error{
			"park": func(tx pgx.Tx) error { return f.Park(t.Context(), tx, f.head("o-3"), f.head(key)) },
			"bury": func(tx pgx.Tx) error { _, err := f.Bury(t.Context(), tx, f.letter(key)); return err },
		} {
			err := postgres.InTx(t.Context(), f.pool, second)
			if errs.KindOf(err) != errs.Transient {
				t.Errorf("%s %s: %v, want an error of kind transient", what, key, err)
			}
		}
	}
	if diff := cmp.Diff(before, f.snapshot(t)); diff != "" {
		t.Errorf("a key that was parked meanwhile (-before +after):\n%s", diff)
	}
}

// TestAReleaseWaitsForWhatIsBeingAppended: a key that a transaction has found parked stays parked
// until it ends, so that no record is appended behind a free key.
func TestAReleaseWaitsForWhatIsBeingAppended(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.park(t, "o-1")
	taken := make(chan int, 1)
	f.tx(t, func(tx pgx.Tx) error {
		parked, err := f.Parked(t.Context(), tx, true, []Key{h.ParkedKey(), {testTopic, "o-2"}, h.ParkedKey()})
		if err != nil {
			return err
		}
		if diff := cmp.Diff(map[Key]bool{h.ParkedKey(): true}, parked); diff != "" {
			t.Errorf("parked (-want +got):\n%s", diff)
		}
		// Another transaction that appends does not wait for this one.
		f.tx(t, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SET LOCAL lock_timeout = '10s'`); err != nil {
				return err
			}
			_, err := f.Parked(t.Context(), tx, true, []Key{h.ParkedKey()})
			return err
		})
		go func() {
			f.tx(t, func(tx pgx.Tx) error {
				if _, err := f.Take(t.Context(), tx, h); err != nil {
					return err
				}
				followers, err := f.Followers(t.Context(), tx, h.ParkedKey(), 10)
				taken <- len(followers)
				return err
			})
		}()
		kafkatest.Eventually(t, "the release to wait", func() bool { return len(taken) > 0 || f.lockAwaited(t) })
		return f.Follow(t.Context(), tx, Follower{Record: f.record("o-1"), InboxID: uuid.Must(uuid.NewV7())})
	})
	if n := <-taken; n != 1 {
		t.Errorf("whoever releases the key sees %d followers, want 1", n)
	}
}

// TestFollowersKeepTheirOrderAndBytes: each key has a queue of its own in order of arrival,
// whatever the records contain.
func TestFollowersKeepTheirOrderAndBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.park(t, "a")
	f.park(t, "b")
	var want []Follower
	f.tx(t, func(tx pgx.Tx) error {
		for i := range 30 {
			var both []Follower
			for _, key := range []string{"b", "a"} {
				r := f.record(key)
				r.Offset = int64(1000 - i) // offsets are no order between partitions
				r.Value = fmt.Appendf(nil, "\x00\xff%d", i)
				both = append(both, Follower{Record: r, InboxID: uuid.Must(uuid.NewV7()), EventType: "ParcelLabelled"})
			}
			both[0].Value, both[0].Headers = nil, []event.Header{{Key: "\xff", Value: []byte{0}}}
			if i == 7 {
				both[1].DeadLetter = uuid.Must(uuid.NewV7())
			}
			want = append(want, both[1])
			if err := f.Follow(t.Context(), tx, both...); err != nil {
				return err
			}
		}
		return nil
	})
	f.tx(t, func(tx pgx.Tx) error {
		got, err := f.Followers(t.Context(), tx, Key{testTopic, "a"}, 25)
		if err != nil {
			return err
		}
		var positions []int64
		for i := range got {
			positions = append(positions, got[i].Position)
			got[i].Position = 0
			got[i].Time = got[i].Time.UTC()
		}
		if diff := cmp.Diff(want[:25], got); diff != "" {
			t.Errorf("followers (-want +got):\n%s", diff)
		}
		if err := f.Drop(t.Context(), tx, positions[:24]...); err != nil {
			return err
		}
		got, err = f.Followers(t.Context(), tx, Key{testTopic, "a"}, 100)
		if err != nil {
			return err
		}
		if len(got) != 6 || got[0].Position != positions[24] {
			t.Errorf("%d followers are left, want 6 from the 25th on", len(got))
		}
		return nil
	})
	keys, err := f.ParkedKeys(t.Context(), f.pool, 1)
	if err != nil || len(keys) != 1 || string(keys[0].Key) != "a" || keys[0].Followers != 6 {
		t.Errorf("the key parked longest: %+v, %v", keys, err)
	}
	next := want[7].Head(time.Unix(5, 0))
	if next.Attempts != 0 || next.DeadLetter != want[7].DeadLetter || next.InboxID != want[7].InboxID || !next.NotBefore.Equal(time.Unix(5, 0)) {
		t.Errorf("a follower as head: %+v", next)
	}
}

// TestARetryRecordCarriesItsStory: the data that the next attempt needs goes through Kafka and
// comes back unchanged.
func TestARetryRecordCarriesItsStory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.head("o-1")
	h.Failure = h.Failed(errs.New(errs.Conflict, "again"), []byte("another stack"), h.First.Add(time.Second))
	h.DeadLetter, h.NotBefore = uuid.Must(uuid.NewV7()), h.NotBefore.Add(time.Minute)
	h.EventType = "" // read from the envelope, and this record has none
	f.tx(t, func(tx pgx.Tx) error { return f.Park(t.Context(), tx, h) })
	got := f.onlyHead(t)
	if got.ID.Version() != 7 {
		t.Errorf("id %s is no UUIDv7", got.ID)
	}
	h.ID = got.ID
	if diff := cmp.Diff(h, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Attempts != 2 || got.Class != "conflict" || !got.Last.After(got.First) {
		t.Errorf("story %+v", got.Failure)
	}
	keys, err := f.ParkedKeys(t.Context(), f.pool, 0)
	if err != nil || len(keys) != 1 || keys[0].Head != h.ID || keys[0].Attempts != 2 || keys[0].LastError != "again" ||
		keys[0].State != "retrying" || !keys[0].NotBefore.Equal(h.NotBefore) {
		t.Errorf("parked keys %+v, %v", keys, err)
	}
}

// TestWrongAdviceHidesNoType: wrong tracing and time headers do not hide an event's type.
func TestWrongAdviceHidesNoType(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.head("o-1")
	h.Record.Headers = nil
	for _, header := range [][2]string{
		{event.HeaderID, uuid.Must(uuid.NewV7()).String()}, {event.HeaderType, "ParcelAccepted"}, {event.HeaderSubject, "o-1"},
		{event.HeaderAggregateVersion, "1"}, {event.HeaderTime, "yesterday"}, {event.HeaderTraceParent, "a"}, {event.HeaderTraceParent, "b"},
	} {
		h.Record.Headers = append(h.Record.Headers, text(header[0], header[1]))
	}
	f.tx(t, func(tx pgx.Tx) error { return f.Park(t.Context(), tx, h) })
	if got := f.onlyHead(t).EventType; got != "ParcelAccepted" {
		t.Errorf("type %q after the retry topic, want ParcelAccepted", got)
	}
}

// TestAPayloadTooLargeForTheRetryTopicIsKept: it is in the key's row, and stays with the head from
// attempt to attempt.
func TestAPayloadTooLargeForTheRetryTopicIsKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	large := bytes.Repeat([]byte{0, 0xff}, outbox.MaxRaw/2)
	h := f.head("o-1")
	h.Value = large
	f.tx(t, func(tx pgx.Tx) error { return f.Park(t.Context(), tx, h) })
	for round := range 3 {
		heads, omitted := f.sent(t)
		last := heads[round]
		if !omitted[round] || len(last.Value) != 0 {
			t.Fatalf("round %d: omitted %v, %d bytes", round, omitted[round], len(last.Value))
		}
		current, payload, err := f.Current(t.Context(), f.pool, last)
		if err != nil || !current || !bytes.Equal(payload, large) {
			t.Fatalf("round %d: current %v, %d bytes, %v", round, current, len(payload), err)
		}
		last.Value = payload
		f.tx(t, func(tx pgx.Tx) error { return f.Replace(t.Context(), tx, last.ParkedKey(), last.ID, last) })
	}
	heads, _ := f.sent(t)
	small := heads[len(heads)-1]
	small.Value = []byte("small")
	f.tx(t, func(tx pgx.Tx) error { return f.Replace(t.Context(), tx, small.ParkedKey(), small.ID, small) })
	heads, omitted := f.sent(t)
	last := heads[len(heads)-1]
	if _, payload, err := f.Current(t.Context(), f.pool, last); err != nil || payload != nil || omitted[len(omitted)-1] {
		t.Errorf("a head that fits: payload %q, omitted %v, %v", payload, omitted[len(omitted)-1], err)
	}
}

// TestARecordWithoutKeyIsParkedWithThoseOfTheEmptyKey: it comes back without a key.
func TestARecordWithoutKeyIsParkedWithThoseOfTheEmptyKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	none := f.head("")
	none.Key = nil
	f.tx(t, func(tx pgx.Tx) error { return f.Park(t.Context(), tx, none) })
	f.tx(t, func(tx pgx.Tx) error {
		parked, err := f.Parked(t.Context(), tx, true, []Key{{testTopic, ""}})
		if err != nil || !parked[none.ParkedKey()] {
			t.Errorf("parked %v, %v", parked, err)
		}
		return f.Follow(t.Context(), tx, Follower{Record: none.Record}, Follower{Record: f.record("")})
	})
	f.tx(t, func(tx pgx.Tx) error {
		got, err := f.Followers(t.Context(), tx, none.ParkedKey(), 10)
		if err != nil || len(got) != 2 || got[0].Key != nil || got[1].Key == nil {
			t.Errorf("followers %+v, %v", got, err)
		}
		return err
	})
	if h := f.onlyHead(t); h.Key != nil || !f.current(t, h) {
		t.Errorf("key %q, current %v", h.Key, f.current(t, h))
	}
}
