package inbox_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

const week = 7 * 24 * time.Hour

func newID(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func messages(ids ...uuid.UUID) []inbox.Message {
	var msgs []inbox.Message
	for _, id := range ids {
		msgs = append(msgs, inbox.Message{ID: id, Type: "ParcelAccepted"})
	}
	return msgs
}

// receive receives the messages in a transaction of their own.
func receive(t *testing.T, pool *pgxpool.Pool, group string, ids ...uuid.UUID) (fresh map[uuid.UUID]bool) {
	t.Helper()
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
		fresh, err = inbox.Receive(t.Context(), tx, group, messages(ids...))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func check(t *testing.T, what string, got map[uuid.UUID]bool, want ...uuid.UUID) {
	t.Helper()
	set := map[uuid.UUID]bool{}
	for _, id := range want {
		set[id] = true
	}
	if diff := cmp.Diff(set, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAMessageIsFreshOncePerGroup(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, inbox.Component())
	a, b, c := newID(t), newID(t), newID(t)
	check(t, "first receipt, one message twice in the batch", receive(t, pool, "lockers", b, a, b), a, b)
	check(t, "second receipt", receive(t, pool, "lockers", a, c, b), c)
	check(t, "another group", receive(t, pool, "notices", a), a)
	check(t, "no messages", receive(t, pool, "lockers"))

	seen, err := inbox.Seen(t.Context(), pool, "notices", []uuid.UUID{a, b, newID(t)})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "seen by the other group", seen, a)
	seen, err = inbox.Seen(t.Context(), pool, "notices", nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "seen of nothing", seen)
}

func TestARollbackLeavesNothing(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, inbox.Component())
	id := newID(t)
	failure := errors.New("handler failed")
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := inbox.Receive(t.Context(), tx, "lockers", messages(id))
		return errors.Join(err, failure)
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	check(t, "receipt after the rollback", receive(t, pool, "lockers", id), id)
}

func TestTwoReceiversOfOneMessage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		first   error // how the first transaction ends
		isFresh bool  // for the second
	}{
		{"the second sees a duplicate after the first commits", nil, false},
		{"the second takes over after the first rolls back", errors.New("handler failed"), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.NewDB(t, inbox.Component())
			id := newID(t)
			second := make(chan bool, 1)
			err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				fresh, err := inbox.Receive(t.Context(), tx, "lockers", messages(id))
				if err != nil || !fresh[id] {
					t.Errorf("first receipt: %v, %v", fresh, err)
				}
				go func() {
					var fresh map[uuid.UUID]bool
					err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
						fresh, err = inbox.Receive(t.Context(), tx, "lockers", messages(id))
						return err
					})
					if err != nil {
						t.Errorf("second receipt: %v", err)
					}
					second <- fresh[id]
				}()
				kafkatest.Eventually(t, "the second receiver to wait for the first", func() bool { return waiting(t, pool) })
				return tc.first
			})
			if !errors.Is(err, tc.first) {
				t.Fatal(err)
			}
			if got := <-second; got != tc.isFresh {
				t.Errorf("second receipt: fresh %v, want %v", got, tc.isFresh)
			}
		})
	}
}

func waiting(t *testing.T, pool *pgxpool.Pool) (yes bool) {
	err := pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&yes)
	if err != nil {
		t.Error(err)
		return true
	}
	return yes
}

func TestMaintain(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, inbox.Component())
	now := time.Now().Add(-3 * week) // no day is dropped before it is over by the database's clock
	maintain := func(at time.Time, keep time.Duration) []string { return maintain(t, pool, at, keep) }
	maintain(now, week)
	old := postgres.LowerBound(now.Add(-4 * week))
	noV7 := uuid.NewSHA1(uuid.Nil, []byte("orders/3/17"))
	today := postgres.LowerBound(now)
	check(t, "first receipt", receive(t, pool, "lockers", old, noV7, today), old, noV7, today)
	if _, err := pool.Exec(t.Context(), `UPDATE inbox SET received_at = $1`, now); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uuid.UUID]string{
		old:   "inbox_default",
		today: postgres.PartitionName("inbox", now),
	} {
		if got := partitionOf(t, pool, id); got != want {
			t.Errorf("%s is in %q, want %q", id, got, want)
		}
	}

	maintain(now.Add(week), 2*week)
	check(t, "receipt again while kept", receive(t, pool, "lockers", old, noV7, today))

	maintain(now.Add(3*week), week)
	for _, id := range []uuid.UUID{old, noV7, today} {
		if got := partitionOf(t, pool, id); got != "" {
			t.Errorf("%s is still in %s", id, got)
		}
	}
}

func TestMaintainKeepsOldDaysThatWereReceivedLately(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, inbox.Component())
	now := time.Now()
	maintain(t, pool, now.Add(-3*week), week) // creates the old days' partitions
	late := postgres.LowerBound(now.Add(-3 * week))
	receive(t, pool, "lockers", late)
	kept := postgres.PartitionName("inbox", now.Add(-3*week))
	dropped := maintain(t, pool, now, week)
	if len(dropped) != 7 || slices.Contains(dropped, kept) {
		t.Errorf("dropped %v, want the seven days after %s", dropped, kept)
	}
	check(t, "receipt again", receive(t, pool, "lockers", late))
	if dropped := maintain(t, pool, now.Add(week+time.Hour), week); !slices.Contains(dropped, kept) {
		t.Errorf("dropped %v a week later, want %s to be among them", dropped, kept)
	}
}

// maintain runs the upkeep once.
func maintain(t *testing.T, pool *pgxpool.Pool, at time.Time, keep time.Duration) (dropped []string) {
	t.Helper()
	u := inbox.Upkeep(pool, func() time.Time { return at }, keep)
	if err := u.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	dropped, err := u.Prune(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return dropped
}

func partitionOf(t *testing.T, pool *pgxpool.Pool, id uuid.UUID) (name string) {
	t.Helper()
	err := pool.QueryRow(t.Context(), "SELECT tableoid::regclass::text FROM inbox WHERE message_id = $1", id).Scan(&name)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return name
}

// TestBatchesThatOverlapDoNotDeadlock: two batches contain the same messages in opposite orders,
// and both wait for a third receiver of the message between them.
func TestBatchesThatOverlapDoNotDeadlock(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, inbox.Component())
	a, b, c := newID(t), newID(t), newID(t)
	type receipt struct {
		fresh map[uuid.UUID]bool
		err   error
	}
	receipts := make(chan receipt, 2)
	undone := errors.New("the third fails")
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := inbox.Receive(t.Context(), tx, "lockers", messages(b)); err != nil {
			t.Fatal(err)
		}
		for n, ids := range [][]uuid.UUID{{a, b, c}, {c, b, a}} {
			go func() {
				var r receipt
				r.err = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
					r.fresh, err = inbox.Receive(t.Context(), tx, "lockers", messages(ids...))
					return err
				})
				receipts <- r
			}()
			kafkatest.Eventually(t, "it to wait", func() bool { return waiters(t, pool) == n+1 })
		}
		return undone
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	fresh := map[uuid.UUID]int{}
	for range 2 {
		r := <-receipts
		if r.err != nil {
			t.Errorf("a batch that overlaps another: %v", r.err)
		}
		for id := range r.fresh {
			fresh[id]++
		}
	}
	if diff := cmp.Diff(map[uuid.UUID]int{a: 1, b: 1, c: 1}, fresh); diff != "" {
		t.Errorf("how often each was fresh (-want +got):\n%s", diff)
	}
}

// waiters returns how many sessions of this database wait for another's lock.
func waiters(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	err := pool.QueryRow(t.Context(), `SELECT count(DISTINCT pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE a.datname = current_database() AND NOT l.granted`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestUpkeepMakesAWeekAheadAndKeepsAMonth: these are the defaults.
func TestUpkeepMakesAWeekAheadAndKeepsAMonth(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, inbox.Component())
	now := time.Now()
	maintain(t, pool, now.AddDate(0, 0, -40), week) // creates days 40 to 33 before today
	maintain(t, pool, now.AddDate(0, 0, -32), 100*week)
	dropped := maintain(t, pool, now, 0)
	for age, gone := range map[int]bool{40: true, 33: true, 30: false, 26: false} {
		name := postgres.PartitionName("inbox", now.AddDate(0, 0, -age))
		if slices.Contains(dropped, name) != gone {
			t.Errorf("the day %d days ago: dropped %v, want %v", age, !gone, gone)
		}
	}
	for ahead := range 8 {
		id := postgres.LowerBound(now.AddDate(0, 0, ahead))
		receive(t, pool, "lockers", id)
		if got, want := partitionOf(t, pool, id), postgres.PartitionName("inbox", now.AddDate(0, 0, ahead)); got != want {
			t.Errorf("a message %d days from now is in %s, want %s", ahead, got, want)
		}
	}
}

// TestADayInWhichAMessageIsReceivedWhileItIsDroppedStays: the check before the drop finds nothing,
// and the check behind the lock finds the message.
func TestADayInWhichAMessageIsReceivedWhileItIsDroppedStays(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, inbox.Component())
	now := time.Now()
	maintain(t, pool, now.Add(-3*week), week)
	late := postgres.LowerBound(now.Add(-3 * week))
	kept := postgres.PartitionName("inbox", now.Add(-3*week))
	pruned := make(chan []string, 1)
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		// Not committed yet, so no check can see it. The drop waits for this transaction.
		if _, err := inbox.Receive(t.Context(), tx, "lockers", messages(late)); err != nil {
			return err
		}
		go func() {
			dropped, err := inbox.Upkeep(pool, func() time.Time { return now }, week).Prune(t.Context())
			if err != nil {
				t.Error(err)
			}
			pruned <- dropped
		}()
		kafkatest.Eventually(t, "the drop to wait", func() bool { return waiters(t, pool) == 1 })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if dropped := <-pruned; slices.Contains(dropped, kept) {
		t.Errorf("dropped %v with a message that was received meanwhile", dropped)
	}
	check(t, "receipt again", receive(t, pool, "lockers", late))
}
