package retry

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/postgres"
)

// TestListReturnsWhatMatchesPageByPage: of this group only, oldest first.
func TestListReturnsWhatMatchesPageByPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b, c, d := f.letter("a"), f.poison("b"), f.letter("c"), f.letter("d")
	b.Key = nil
	c.Topic, c.EventType = "door.events", "DoorJammed"
	d.Message, d.Stack = strings.Repeat("m", 2*maxSummary), "stack"
	ids := []uuid.UUID{f.bury(t, a), f.bury(t, b), f.bury(t, c), f.bury(t, d)}
	f.tx(t, func(tx pgx.Tx) error { // another group's, of the same key
		_, err := New("notices", f.out).Bury(t.Context(), tx, f.letter("a"))
		return err
	})
	resubmit(t, f, ids[3])
	key := []byte("moved")
	if _, err := f.Edit(t.Context(), f.pool, ids[1], "ada", Edit{Key: &key}, false); err != nil {
		t.Fatal(err)
	}
	var at []time.Time
	for i, id := range ids {
		at = append(at, time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC))
		if _, err := f.pool.Exec(t.Context(), `UPDATE dead_letters SET created_at = $2 WHERE id = $1`, id, at[i]); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		filter Filter
		want   []int
		more   bool
	}{
		"all":                 {Filter{}, []int{0, 1, 2, 3}, false},
		"open":                {Filter{Status: StatusOpen}, []int{0, 1, 2}, false},
		"of a topic":          {Filter{Topic: "door.events"}, []int{2}, false},
		"of a type":           {Filter{EventType: "ParcelAccepted"}, []int{0, 3}, false},
		"of a class":          {Filter{Class: errs.Hopeless.String()}, []int{1}, false},
		"of a key":            {Filter{Key: []byte("a")}, []int{0}, false},
		"without key":         {Filter{Key: []byte{}}, []int{1}, false},
		"by the key it has":   {Filter{Key: []byte("moved")}, []int{1}, false},
		"since":               {Filter{Since: at[2]}, []int{2, 3}, false},
		"until":               {Filter{Until: at[2]}, []int{0, 1}, false},
		"the first page":      {Filter{Limit: 3}, []int{0, 1, 2}, true},
		"an exact page":       {Filter{Limit: 4}, []int{0, 1, 2, 3}, false},
		"the page behind":     {Filter{After: ids[1], Limit: 2}, []int{2, 3}, false},
		"more than one bound": {Filter{Status: StatusOpen, Since: at[1], Limit: 1}, []int{1}, true},
	} {
		page, more, err := f.List(t.Context(), f.pool, tc.filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, l := range page {
			got = append(got, slices.Index(ids, l.ID))
			if l.Stack != "" || len(l.Message) > maxSummary {
				t.Errorf("%s: message of %d bytes, stack %q", name, len(l.Message), l.Stack)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" || more != tc.more {
			t.Errorf("%s: more %v; (-want +got):\n%s", name, more, diff)
		}
	}
}

// TestStatsCountWhatIsOpenByTopicAndType: a key that waits for an operator is not overdue.
func TestStatsCountWhatIsOpenByTopicAndType(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.bury(t, f.letter("dead"))
	resubmit(t, f, f.bury(t, f.letter("resubmitted")))
	f.bury(t, f.poison("stranger"))
	f.park(t, "late")
	f.park(t, "in time")
	f.follow(t, "late", 3)
	if _, err := f.pool.Exec(t.Context(), `UPDATE parked_keys SET not_before = now() - interval '11 minutes' WHERE key <> 'in time'`); err != nil {
		t.Fatal(err)
	}
	st, err := f.Stats(t.Context(), f.pool)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ParkedStats{Retrying: 3, Dead: 1, Records: 3, Overdue: 2}, st.Parked); diff != "" {
		t.Errorf("parked (-want +got):\n%s", diff)
	}
	if st.Open != 2 || st.Resubmitted != 1 || st.OldestOpen.IsZero() || len(st.ByTopic) != 1 {
		t.Errorf("%+v", st)
	}
	want := []TypeStats{{"", "hopeless", 1}, {"ParcelAccepted", "invalid", 1}}
	if diff := cmp.Diff(want, st.ByType); diff != "" {
		t.Errorf("by type (-want +got):\n%s", diff)
	}
}

// TestGroupsKnowNothingOfEachOther: they share tables, topics and keys.
func TestGroupsKnowNothingOfEachOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := New("notices", f.out)
	key := Key{testTopic, "o-1"}
	f.tx(t, func(tx pgx.Tx) error {
		if err := other.Park(t.Context(), tx, f.head("o-1")); err != nil {
			return err
		}
		return other.Follow(t.Context(), tx, Follower{Record: f.record("o-1")})
	})
	h := f.park(t, "o-1")
	f.follow(t, "o-1", 2)
	f.tx(t, func(tx pgx.Tx) error {
		followers, err := f.Followers(t.Context(), tx, key, 10)
		if err != nil || len(followers) != 2 {
			t.Errorf("%d followers, want this group's 2; %v", len(followers), err)
		}
		for _, x := range followers {
			if err := f.Drop(t.Context(), tx, x.Position); err != nil {
				return err
			}
		}
		return f.Release(t.Context(), tx, h.ParkedKey())
	})
	f.tx(t, func(tx pgx.Tx) error {
		parked, err := other.Parked(t.Context(), tx, false, []Key{key})
		followers, err2 := other.Followers(t.Context(), tx, key, 10)
		if err != nil || err2 != nil || !parked[key] || len(followers) != 1 {
			t.Errorf("of the other group: parked %v, %d followers; %v, %v", parked, len(followers), err, err2)
		}
		return nil
	})
}

// TestARetryRecordsIDIsItsOwn: each attempt is another record, so the one before no longer counts.
func TestARetryRecordsIDIsItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.park(t, "o-1")
	f.tx(t, func(tx pgx.Tx) error { return f.Replace(t.Context(), tx, first.ParkedKey(), first.ID, first) })
	heads, _ := f.sent(t)
	if len(heads) != 2 || heads[1].ID == first.ID || f.current(t, first) || !f.current(t, heads[1]) {
		t.Errorf("retry records %+v; the first counts: %v", heads, f.current(t, first))
	}
	var id uuid.UUID
	f.tx(t, func(tx pgx.Tx) (err error) {
		id, _, err = f.BuryHead(t.Context(), tx, heads[1].ID, heads[1], heads[1].InboxID)
		return err
	})
	if d := f.details(t, id); !d.Parks || d.EventID != first.InboxID || d.Status != StatusOpen {
		t.Errorf("given up: %+v", d.DeadLetter)
	}
}

// TestDiscardSeesWhatWasAppendedBeforeIt: a record is being appended when an operator discards the
// dead letter before it. The discard waits, and lets the record go on.
func TestDiscardSeesWhatWasAppendedBeforeIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.bury(t, f.letter("o-1"))
	discarded := make(chan Discarding, 1)
	f.tx(t, func(tx pgx.Tx) error {
		if _, err := f.Parked(t.Context(), tx, true, []Key{{testTopic, "o-1"}}); err != nil {
			return err
		}
		go func() {
			done, err := f.Discard(t.Context(), f.pool, id, "ada", "r", false)
			if err != nil {
				t.Error(err)
			}
			discarded <- done
		}()
		kafkatest.Eventually(t, "the discard to wait", func() bool { return len(discarded) > 0 || f.lockAwaited(t) })
		return f.Follow(t.Context(), tx, Follower{Record: f.record("o-1"), InboxID: uuid.Must(uuid.NewV7())})
	})
	if done := <-discarded; done.Followers != 1 {
		t.Errorf("%d followers go on, want 1", done.Followers)
	}
	if h := f.onlyHead(t); !h.Skip || !f.current(t, h) {
		t.Errorf("head %+v", h)
	}
}

// TestADecisionIsMadeAgainWhenTheKeyIsParkedMeanwhile: a consumer parks the key of a record that is
// no event while an operator resubmits it. The second try finds the key parked, and the record
// waits.
func TestADecisionIsMadeAgainWhenTheKeyIsParkedMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.bury(t, f.poison("o-1"))
	type answer struct {
		done Resubmission
		err  error
	}
	resubmitted := make(chan answer, 1)
	f.tx(t, func(tx pgx.Tx) error {
		if err := f.Park(t.Context(), tx, f.head("o-1")); err != nil { // not committed: no query sees it
			return err
		}
		go func() {
			done, err := f.Resubmit(t.Context(), f.pool, id, "ada", "", false)
			resubmitted <- answer{done, err}
		}()
		kafkatest.Eventually(t, "the decision to wait", func() bool { return len(resubmitted) > 0 || f.lockAwaited(t) })
		return nil
	})
	a := <-resubmitted
	if want := (Resubmission{Status: StatusResubmitted, Effect: true, Waits: true}); a.err != nil || a.done != want {
		t.Errorf("%+v, %v; want %+v", a.done, a.err, want)
	}
	if heads, _ := f.sent(t); len(heads) != 1 || heads[0].DeadLetter != uuid.Nil {
		t.Errorf("retry records %+v, want the consumer's only", heads)
	}
}

// TestAFaultOfTheDatabaseIsTransient: it counts against no record.
func TestAFaultOfTheDatabaseIsTransient(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.head("o-1")
	for name, use := range map[string]func(tx pgx.Tx) error{
		"Parked":    func(tx pgx.Tx) error { _, err := f.Parked(t.Context(), tx, true, []Key{h.ParkedKey()}); return err },
		"Park":      func(tx pgx.Tx) error { return f.Park(t.Context(), tx, h) },
		"Follow":    func(tx pgx.Tx) error { return f.Follow(t.Context(), tx, Follower{Record: h.Record}) },
		"Bury":      func(tx pgx.Tx) error { _, err := f.Bury(t.Context(), tx, f.letter("o-1")); return err },
		"Take":      func(tx pgx.Tx) error { _, err := f.Take(t.Context(), tx, h); return err },
		"Followers": func(tx pgx.Tx) error { _, err := f.Followers(t.Context(), tx, h.ParkedKey(), 1); return err },
		"Drop":      func(tx pgx.Tx) error { return f.Drop(t.Context(), tx, 1) },
		"Release":   func(tx pgx.Tx) error { return f.Release(t.Context(), tx, h.ParkedKey()) },
		"Replace":   func(tx pgx.Tx) error { return f.Replace(t.Context(), tx, h.ParkedKey(), h.InboxID, h) },
		"Resolve":   func(tx pgx.Tx) error { return f.Resolve(t.Context(), tx, h.InboxID, "") },
		"Get":       func(tx pgx.Tx) error { _, err := f.Get(t.Context(), tx, h.InboxID); return err },
		"List":      func(tx pgx.Tx) error { _, _, err := f.List(t.Context(), tx, Filter{}); return err },
		"Stats":     func(tx pgx.Tx) error { _, err := f.Stats(t.Context(), tx); return err },
		"Maintain":  func(tx pgx.Tx) error { return f.Maintain(t.Context(), tx, time.Now()) },
	} {
		err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
			// The server ends the session during the transaction.
			_, _ = tx.Exec(t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`)
			err := use(tx)
			if errs.KindOf(err) != errs.Transient {
				t.Errorf("%s on a lost connection: %v of kind %v, want transient", name, err, errs.KindOf(err))
			}
			return err
		})
		wantKind(t, err, errs.Transient)
	}
}
