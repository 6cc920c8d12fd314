package projection_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/retry"
)

// started runs the reader and the fillers of one process, and waits until the versions are declared.
func (f *fixture) started(change ...func(*projection.Config[fact])) *projection.Set[fact] {
	f.t.Helper()
	set, model := f.set(change...)
	f.read(set, model)
	f.start(set.Run)
	f.becomes(set, 1, projection.Live)
	f.becomes(set, 2, projection.Waiting)
	return set
}

func (f *fixture) rebuild(set *projection.Set[fact]) {
	f.t.Helper()
	if _, err := set.Rebuild(f.t.Context(), "totals", 0); err != nil {
		f.t.Fatal(err)
	}
}

// TestRebuildUnderWrites: while parcels come in and queries run, version 2 is filled, compared without a
// difference, switched to, switched back from and dropped. No query fails, and none sees a version that
// contains less than before.
func TestRebuildUnderWrites(t *testing.T) {
	f := newFixture(t)
	set := f.started()
	f.accept(2000, "London")
	f.handled()
	writing, written := context.WithCancel(t.Context())
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		for writing.Err() == nil {
			f.accept(20, "Paris")
		}
	}()
	queried := f.start(func(ctx context.Context) error {
		var before int64
		for ctx.Err() == nil {
			err := set.Read(ctx, f.pool, "totals", func(tx pgx.Tx, _ int) error {
				var n int64
				if err := tx.QueryRow(ctx, `SELECT coalesce(sum(parcels), 0)::bigint FROM totals`).Scan(&n); err != nil {
					return err
				}
				if n < before {
					t.Errorf("a query saw %d parcels after %d", n, before)
				}
				before = n
				return nil
			})
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	})

	f.rebuild(set)
	if _, err := set.Rebuild(t.Context(), "totals", 2); errs.KindOf(err) != errs.Conflict {
		t.Errorf("a second rebuild: %v", err)
	}
	f.becomes(set, 2, projection.Following)
	d, err := set.Diff(t.Context(), "totals", 0)
	if err != nil || d.Count() != 0 || len(d.Compared) != 1 || d.Compared[0].Rows != 1 || d.Declared[0] != "cities are new" {
		t.Errorf("difference %+v, %v", d, err)
	}
	for _, version := range []int{2, 1, 2} {
		if s, err := set.Switch(t.Context(), "totals", version, false); err != nil || s.State != projection.Live {
			t.Fatalf("switch to %d: %+v, %v", version, s, err)
		}
		f.becomes(set, 3-version, projection.Following)
	}
	if _, err := set.Drop(t.Context(), "totals", 2); errs.KindOf(err) != errs.Conflict {
		t.Errorf("dropping the live version: %v", err)
	}
	if s, err := set.Drop(t.Context(), "totals", 0); err != nil || s.Version != 1 {
		t.Errorf("drop: %+v, %v", s, err)
	}
	written()
	<-idle
	queried()
	f.handled()
	if n := f.count("totals_v2"); n != f.produced.Load() {
		t.Errorf("version 2 contains %d of %d parcels", n, f.produced.Load())
	}
	if n := f.count("public"); n != 0 {
		t.Errorf("the dropped version contains %d parcels", n)
	}
}

// TestAFillingGoesOn where another process left it that was killed, and counts nothing twice.
func TestAFillingGoesOn(t *testing.T) {
	f := newFixture(t)
	quick := func(c *projection.Config[fact]) { c.FillSet, c.Lease = 50, 500e6 }
	set, model := f.set(quick)
	f.read(set, model)
	killed := f.start(set.Run)
	f.becomes(set, 2, projection.Waiting)
	f.accept(5000, "London")
	f.handled()
	f.rebuild(set)
	kafkatest.Eventually(t, "a part to be filled", func() bool {
		return f.number(`SELECT coalesce(sum(next_offset), 0)::bigint FROM projection_positions`) > 0
	})
	killed()
	part := f.number(`SELECT sum(next_offset)::bigint FROM projection_positions`)
	again, _ := f.set(quick)
	f.start(again.Run)
	f.becomes(again, 2, projection.Following)
	if n := f.count("totals_v2"); n != 5000 {
		t.Errorf("version 2 contains %d of 5000 parcels; %d were there at the kill", n, part)
	}
	if s, err := again.Switch(t.Context(), "totals", 2, false); err != nil {
		t.Errorf("switch: %+v, %v", s, err)
	}
}

// TestATopicThatLostItsBeginning is no source of a rebuild. The version that is live stays.
func TestATopicThatLostItsBeginning(t *testing.T) {
	f := newFixture(t)
	set := f.started()
	f.accept(60, "London")
	f.handled()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: sample.TopicParcelEvents, Partition: 0, At: 1})
	deleted, err := kadm.NewClient(kafkatest.NewClient(t, f.brokers)).DeleteRecords(t.Context(), offsets)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = set.Rebuild(t.Context(), "totals", 2)
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "parcel.events/0 begins at offset 1") {
		t.Errorf("rebuild: %v", err)
	}
	// A filling that has begun finds it out as well.
	if _, err := f.pool.Exec(t.Context(), `UPDATE projection_versions SET state = 'filling' WHERE version = 2`); err != nil {
		t.Fatal(err)
	}
	if s := f.becomes(set, 2, projection.Failed); !strings.Contains(s.Reason, "begins at offset 1") {
		t.Errorf("reason %q", s.Reason)
	}
}

// TestADeadLetterBlocksTheSwitch until an operator has decided about it, whatever the decision is.
func TestADeadLetterBlocksTheSwitch(t *testing.T) {
	for name, tt := range map[string]struct {
		decide  func(f *fixture, letter retry.DeadLetter) error
		parcels int64
	}{
		"discarded": {func(f *fixture, l retry.DeadLetter) error {
			_, err := f.failed.Discard(t.Context(), f.pool, l.ID, "ada", "no parcel", false)
			return err
		}, 10},
		"repaired": {func(f *fixture, l retry.DeadLetter) error {
			good := f.parcel("Rome", 5)
			if _, err := f.failed.Edit(t.Context(), f.pool, l.ID, "ada", retry.Edit{Value: &good.Value, Key: &good.Key, Headers: kafkatest.Headers(good)}, false); err != nil {
				return err
			}
			_, err := f.failed.Resubmit(t.Context(), f.pool, l.ID, "ada", "repaired", false)
			return err
		}, 11},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.relay()
			set := f.started()
			f.accept(10, "London")
			broken := f.parcel("Rome", 5)
			broken.Value = []byte("no Avro")
			broken.Key = []byte("no key of an event")
			broken.Headers = nil
			f.produce(broken)
			f.handled()
			f.rebuild(set)
			f.becomes(set, 2, projection.Following)
			_, err := set.Switch(t.Context(), "totals", 2, true)
			if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "1 records that failed") {
				t.Errorf("switch: %v", err)
			}
			all, err := set.Status(t.Context(), "totals")
			if err != nil || len(all[1].Listed) != 1 || !strings.Contains(all[1].Listed[0].Reason, "waits for a decision") {
				t.Fatalf("%+v, %v", all, err)
			}
			letters, _, err := f.failed.List(t.Context(), f.pool, retry.Filter{Status: retry.StatusOpen, Limit: 2})
			if err != nil || len(letters) != 1 {
				t.Fatalf("%d dead letters, %v", len(letters), err)
			}
			if err := tt.decide(f, letters[0]); err != nil {
				t.Fatal(err)
			}
			kafkatest.Eventually(t, "the version to be complete", func() bool {
				all, err := set.List(t.Context())
				return err == nil && all[1].Failures == 0
			})
			if s, err := set.Switch(t.Context(), "totals", 2, false); err != nil {
				t.Errorf("switch: %+v, %v", s, err)
			}
			if n := f.count("totals_v2"); n != tt.parcels {
				t.Errorf("version 2 contains %d parcels, want %d", n, tt.parcels)
			}
			// The decision counts for a rebuild that begins after it.
			if _, err := set.Switch(t.Context(), "totals", 1, false); err != nil {
				t.Fatal(err)
			}
			if _, err := set.Drop(t.Context(), "totals", 2); err != nil {
				t.Fatal(err)
			}
			f.rebuild(set)
			if s := f.becomes(set, 2, projection.Following); s.Failures != 0 || f.count("totals_v2") != tt.parcels {
				t.Errorf("rebuilt: %+v with %d parcels, want %d", s, f.count("totals_v2"), tt.parcels)
			}
		})
	}
}
