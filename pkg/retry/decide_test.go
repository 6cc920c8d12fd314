package retry

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
)

func TestResubmitHandsTheOriginalToThisGroupOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l := f.letter("o-1")
	id := f.bury(t, l)

	got, err := f.Resubmit(t.Context(), f.pool, id, "ada", "gateway is mended", false)
	if err != nil {
		t.Fatal(err)
	}
	h := f.onlyHead(t)
	want := Resubmission{Status: StatusResubmitted, Effect: true, RetryID: h.ID}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if diff := cmp.Diff(l.Record, h.Record); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if h.DeadLetter != id || h.InboxID != l.InboxID || h.Attempts != 0 || h.Skip || !f.current(t, h) {
		t.Errorf("head %+v, current %v", h, f.current(t, h))
	}
	d := f.details(t, id)
	if d.Status != StatusResubmitted || d.RetryID != h.ID {
		t.Errorf("status %s, retry id %s", d.Status, d.RetryID)
	}
	all, err := f.Actions(t.Context(), f.pool, id)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Actor != "doors" || all[1].Actor != "ada" || all[1].Detail != "gateway is mended (retry record "+h.ID.String()+")" {
		t.Errorf("actions %+v", all)
	}
}

func TestResubmitByManyAtOnceHasOneEffect(t *testing.T) {
	t.Parallel()
	for name, letter := range map[string]func(*fixture) Letter{
		"parks":                    func(f *fixture) Letter { return f.letter("o-1") },
		"parks nothing":            func(f *fixture) Letter { return f.poison("o-1") },
		"parks nothing, no key":    func(f *fixture) Letter { l := f.poison(""); l.Key = nil; return l },
		"parks nothing, tombstone": func(f *fixture) Letter { l := f.poison("k"); l.Value = nil; return l },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.bury(t, letter(f))
			const n = 10
			effects := make(chan bool, n)
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					got, err := f.Resubmit(t.Context(), f.pool, id, "ada", "", false)
					if err != nil {
						t.Error(err)
					}
					effects <- got.Effect
				})
			}
			all.Wait()
			close(effects)
			with := 0
			for e := range effects {
				if e {
					with++
				}
			}
			if with != 1 {
				t.Errorf("%d of %d had an effect", with, n)
			}
			if h := f.onlyHead(t); !f.current(t, h) {
				t.Errorf("its retry record does not count: %+v", h)
			}
			want := append([]string{"dead_lettered", "resubmitted"}, slices.Repeat([]string{"resubmitted_again"}, n-1)...)
			if diff := cmp.Diff(want, f.actions(t, id)); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailedAgainIsTheSameDeadLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.bury(t, f.letter("o-1"))
	f.follow(t, "o-1", 2)
	resubmit(t, f, id)
	first := f.onlyHead(t)
	f.fail(t, first, errors.New("still broken"))

	d := f.details(t, id)
	if d.Status != StatusOpen || d.Attempts != 2 || d.Message != "still broken" || d.Followers != 2 {
		t.Errorf("after the failure: %+v", d.DeadLetter)
	}
	resubmit(t, f, id)
	heads, _ := f.sent(t)
	if len(heads) != 2 || f.current(t, first) || !f.current(t, heads[1]) || heads[1].Attempts != 0 {
		t.Errorf("%d retry records, the first counts: %v", len(heads), f.current(t, first))
	}
	want := []string{"dead_lettered", "resubmitted", "failed_again", "resubmitted"}
	if diff := cmp.Diff(want, f.actions(t, id)); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestResubmitWaitsBehindAParkedKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stranger := f.bury(t, f.poison("o-1"))
	head := f.bury(t, f.letter("o-1"))
	f.follow(t, "o-1", 1)

	got, err := f.Resubmit(t.Context(), f.pool, stranger, "ada", "", false)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Resubmission{Status: StatusResubmitted, Effect: true, Waits: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if heads, _ := f.sent(t); len(heads) != 0 {
		t.Errorf("%d retry records, want none", len(heads))
	}
	f.tx(t, func(tx pgx.Tx) error {
		followers, err := f.Followers(t.Context(), tx, Key{testTopic, "o-1"}, 10)
		if err != nil {
			return err
		}
		if len(followers) != 2 || followers[0].DeadLetter != uuid.Nil || followers[1].DeadLetter != stranger {
			t.Errorf("followers %+v", followers)
		}
		return nil
	})
	if n := f.details(t, head).Followers; n != 2 {
		t.Errorf("%d followers, want 2", n)
	}
}

func TestDiscardLetsTheFollowersGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.bury(t, f.letter("o-1"))
	f.follow(t, "o-1", 3)
	got, err := f.Discard(t.Context(), f.pool, id, "ada", "sender withdrew", false)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Discarding{Status: StatusDiscarded, Effect: true, Followers: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	h := f.onlyHead(t)
	if !h.Skip || h.DeadLetter != uuid.Nil || string(h.Key) != "o-1" || len(h.Value) != 0 || !f.current(t, h) {
		t.Errorf("head %+v, current %v", h, f.current(t, h))
	}
	d := f.details(t, id)
	if d.Status != StatusDiscarded || d.ClosedAt.IsZero() || d.Followers != 0 || string(d.Original.Value) != "payload of o-1" {
		t.Errorf("afterwards: %+v", d)
	}
	_, err = f.Discard(t.Context(), f.pool, id, "ada", "again", false)
	wantKind(t, err, errs.Conflict)
	again, err := f.Resubmit(t.Context(), f.pool, id, "ada", "", false)
	if err != nil || again.Effect || again.Status != StatusDiscarded {
		t.Errorf("resubmit a discarded one: %+v, %v", again, err)
	}
}

func TestDiscardReleasesAKeyNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	parked := f.bury(t, f.letter("o-1"))
	poison := f.bury(t, f.poison("o-2"))
	f.bury(t, f.letter("o-2")) // of the same key, which the undecodable record must not release
	for _, id := range []uuid.UUID{parked, poison} {
		got, err := f.Discard(t.Context(), f.pool, id, "ada", "rubbish", false)
		if err != nil || got.Followers != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if heads, _ := f.sent(t); len(heads) != 0 {
		t.Errorf("%d retry records, want none", len(heads))
	}
	keys, err := f.ParkedKeys(t.Context(), f.pool, 0)
	if err != nil || len(keys) != 1 || string(keys[0].Key) != "o-2" || keys[0].State != "dead" {
		t.Errorf("parked keys %+v, %v", keys, err)
	}
}

// A record appended during the release of the key must not be left behind.
func TestDiscardAndAFollowerAtTheSameMoment(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	key := Key{testTopic, "o-1"}
	for range 20 {
		id := f.bury(t, f.letter("o-1"))
		var both sync.WaitGroup
		both.Go(func() {
			f.tx(t, func(tx pgx.Tx) error {
				parked, err := f.Parked(t.Context(), tx, true, []Key{key})
				if err != nil || !parked[key] {
					return err
				}
				return f.Follow(t.Context(), tx, Follower{Record: f.record("o-1"), InboxID: uuid.Must(uuid.NewV7())})
			})
		})
		both.Go(func() {
			if _, err := f.Discard(t.Context(), f.pool, id, "ada", "r", false); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		st, err := f.Stats(t.Context(), f.pool)
		if err != nil {
			t.Fatal(err)
		}
		if st.Parked.Records > 0 && st.Parked.Retrying != 1 || st.Parked.Records == 0 && st.Parked.Retrying+st.Parked.Dead > 0 {
			t.Fatalf("%+v", st.Parked)
		}
		f.tx(t, func(tx pgx.Tx) error { // as the consumer would
			_, err := tx.Exec(t.Context(), `DELETE FROM parked_records; DELETE FROM parked_keys`)
			return err
		})
	}
}

func TestOnlyOpenOnesAreEditedAndDiscarded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.bury(t, f.letter("o-1"))
	_, err := f.Discard(t.Context(), f.pool, id, "ada", "", false)
	wantKind(t, err, errs.Invalid)
	resubmit(t, f, id)
	_, err = f.Discard(t.Context(), f.pool, id, "ada", "r", false)
	wantKind(t, err, errs.Conflict)
	value := []byte("x")
	_, err = f.Edit(t.Context(), f.pool, id, "ada", Edit{Value: &value}, false)
	wantKind(t, err, errs.Conflict)

	unknown := uuid.Must(uuid.NewV7())
	_, err = f.Get(t.Context(), f.pool, unknown)
	wantKind(t, err, errs.NotFound)
	_, err = f.Resubmit(t.Context(), f.pool, unknown, "ada", "", false)
	wantKind(t, err, errs.NotFound)
	_, err = f.Discard(t.Context(), f.pool, unknown, "ada", "r", false)
	wantKind(t, err, errs.NotFound)
	_, err = f.Edit(t.Context(), f.pool, unknown, "ada", Edit{Value: &value}, false)
	wantKind(t, err, errs.NotFound)
	// A group cannot read another group's dead letters.
	_, err = New("notices", outbox.New(outbox.Config{Source: "/test"})).Get(t.Context(), f.pool, id)
	wantKind(t, err, errs.NotFound)
}

func TestDryRunLeavesNoTrace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	parks, poison := f.bury(t, f.letter("o-1")), f.bury(t, f.poison("o-2"))
	f.follow(t, "o-1", 2)
	before := f.snapshot(t)
	for _, id := range []uuid.UUID{parks, poison} {
		if got, err := f.Resubmit(t.Context(), f.pool, id, "ada", "r", true); err != nil || got != (Resubmission{Status: StatusOpen, Effect: true}) {
			t.Errorf("resubmit: %+v, %v", got, err)
		}
		value := []byte("other")
		if got, err := f.Edit(t.Context(), f.pool, id, "ada", Edit{Value: &value}, true); err != nil || string(got.Effective().Value) != "other" {
			t.Errorf("edit: %+v, %v", got, err)
		}
		got, err := f.Discard(t.Context(), f.pool, id, "ada", "r", true)
		if err != nil || got.Status != StatusOpen || !got.Effect || got.Followers != f.details(t, id).Followers {
			t.Errorf("discard: %+v, %v", got, err)
		}
	}
	if diff := cmp.Diff(before, f.snapshot(t)); diff != "" {
		t.Errorf("a dry run changed (-before +after):\n%s", diff)
	}
}

func resubmit(t *testing.T, f *fixture, id uuid.UUID) {
	t.Helper()
	got, err := f.Resubmit(t.Context(), f.pool, id, "ada", "", false)
	if err != nil || !got.Effect {
		t.Fatalf("resubmit: %+v, %v", got, err)
	}
}
