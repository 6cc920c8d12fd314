package projection_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/projection"
)

// TestAnEarlierReleaseLeavesNoGap: a process that does not know version 2 is the reader for a while, as
// in a rollback. The next process that knows it finds the gap and closes it, and the version stays live.
func TestAnEarlierReleaseLeavesNoGap(t *testing.T) {
	for name, live := range map[string]bool{"following": false, "live": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			set, model := f.set()
			stop := f.read(set, model)
			f.start(set.Run)
			f.becomes(set, 2, projection.Waiting)
			f.accept(30, "London")
			f.handled()
			f.rebuild(set)
			f.becomes(set, 2, projection.Following)
			if live {
				if _, err := set.Switch(t.Context(), "totals", 2, false); err != nil {
					t.Fatal(err)
				}
			}
			stop()

			earlier, earlierModel := f.set(func(c *projection.Config[fact]) { c.Versions = c.Versions[:1] })
			stop = f.read(nil, earlierModel)
			f.accept(30, "Paris")
			f.handled()
			stop()
			if _, err := earlier.List(t.Context()); err != nil {
				t.Error(err)
			}
			// The filler finds the gap, although the reader handles nothing that would show it.
			kafkatest.Eventually(t, "the gap to be closed without the reader", func() bool { return f.count("totals_v2") == 60 })

			f.read(set, model)
			f.accept(30, "Rome")
			f.handled()
			kafkatest.Eventually(t, "the gap to be closed", func() bool {
				all, err := set.List(t.Context())
				return err == nil && all[1].Attached && all[1].Done == 90
			})
			if n := f.count("totals_v2"); n != 90 {
				t.Errorf("version 2 contains %d of 90 parcels", n)
			}
			if d, err := set.Diff(t.Context(), "totals", map[bool]int{true: 1, false: 2}[live]); err != nil || d.Count() != 0 {
				t.Errorf("difference %+v, %v", d, err)
			}
		})
	}
}

// TestTheReaderFindsAGap: the fillers are down while an earlier release is the reader, and no version
// counts a record behind a gap before the gap is closed.
func TestTheReaderFindsAGap(t *testing.T) {
	f := newFixture(t)
	set, model := f.set()
	stop, idle := f.read(set, model), f.start(set.Run)
	f.becomes(set, 2, projection.Waiting)
	f.accept(30, "London")
	f.handled()
	f.rebuild(set)
	f.becomes(set, 2, projection.Following)
	stop()
	idle()
	_, earlier := f.set(func(c *projection.Config[fact]) { c.Versions = c.Versions[:1] })
	stop = f.read(nil, earlier)
	f.accept(30, "Paris")
	f.handled()
	stop()
	f.read(set, model)
	f.accept(30, "Rome")
	f.handled()
	if all, err := set.List(t.Context()); err != nil || all[1].State != projection.Filling || all[1].Attached {
		t.Errorf("%+v, %v", all, err)
	}
	f.start(set.Run)
	f.becomes(set, 2, projection.Following)
	if n := f.count("totals_v2"); n != 90 {
		t.Errorf("version 2 contains %d of 90 parcels", n)
	}
}

// TestAReleaseWithReceipts stored no positions: what its group has committed in Kafka is what a version
// has to contain before it is attached.
func TestAReleaseWithReceipts(t *testing.T) {
	f := newFixture(t)
	set, model := f.set()
	stop := f.read(set, model)
	f.accept(40, "London")
	f.handled()
	stop() // commits its offsets
	if _, err := f.pool.Exec(t.Context(), `DELETE FROM consumer_positions`); err != nil {
		t.Fatal(err)
	}
	f.start(set.Run)
	f.becomes(set, 2, projection.Waiting)
	f.rebuild(set)
	f.becomes(set, 2, projection.Following)
	if n := f.count("totals_v2"); n != 40 {
		t.Errorf("version 2 contains %d of 40 parcels", n)
	}
}

// TestAFoldThatFails is the failure of its version alone: the live version and the reader go on. A
// program whose fold takes the event settles it.
func TestAFoldThatFails(t *testing.T) {
	f := newFixture(t)
	f.fails.Store("Atlantis")
	set := f.started()
	f.accept(5, "London")
	f.accept(1, "Atlantis")
	f.handled()
	f.rebuild(set)
	f.becomes(set, 2, projection.Following)
	f.accept(1, "Atlantis") // while the reader feeds it
	f.accept(5, "Paris")
	f.handled()
	all, err := set.Status(t.Context(), "totals")
	if err != nil || len(all[1].Listed) != 2 || !strings.Contains(all[1].Listed[0].Reason, "not on the map") {
		t.Fatalf("%+v, %v", all, err)
	}
	if one, two := f.count("public"), f.count("totals_v2"); one != 12 || two != 10 {
		t.Errorf("%d and %d parcels, want 12 and 10", one, two)
	}
	f.fails.Store("")
	kafkatest.Eventually(t, "the failures to be settled", func() bool { return f.count("totals_v2") == 12 })
	if s, err := set.Switch(t.Context(), "totals", 2, false); err != nil {
		t.Errorf("switch: %+v, %v", s, err)
	}
}

// TestARecordThatTheTablesRefuse is found among the others of its set, and listed.
func TestARecordThatTheTablesRefuse(t *testing.T) {
	f := newFixture(t)
	set := f.started()
	records := []*kgo.Record{f.parcel("Rome", 2_000_000)}
	for range 40 {
		records = append(records, f.parcel("London", 5))
	}
	f.produce(records...)
	f.handled()
	f.rebuild(set)
	if s := f.becomes(set, 2, projection.Following); s.Failures != 1 {
		t.Errorf("%d failures, want 1", s.Failures)
	}
	if n := f.count("totals_v2"); n != 40 {
		t.Errorf("version 2 contains %d parcels, want 40", n)
	}
}

// TestAnEventAtTwoOffsets counts once in every version, however the versions are fed.
func TestAnEventAtTwoOffsets(t *testing.T) {
	f := newFixture(t)
	set := f.started()
	one, two := f.parcel("London", 5), f.parcel("Paris", 5)
	f.produce(one, one, two)
	f.handled()
	f.rebuild(set)
	f.becomes(set, 2, projection.Following)
	f.produce(two, one)
	f.handled()
	if a, b := f.count("public"), f.count("totals_v2"); a != 2 || b != 2 {
		t.Errorf("%d and %d parcels, want 2", a, b)
	}
}

// TestReceiptsOfAnEarlierReleaseLeaveNoGap: the earlier release stores a receipt per event and no
// positions, so the next reader passes its events without making their effects again.
func TestReceiptsOfAnEarlierReleaseLeaveNoGap(t *testing.T) {
	// receipts lets the earlier release handle what is there.
	receipts := func(t *testing.T, f *fixture, n int64) {
		t.Helper()
		_, model := f.set(func(c *projection.Config[fact]) { c.Versions = c.Versions[:1] })
		cfg := f.reader(nil, model)
		cfg.Positions = false
		stop := f.run(cfg)
		kafkatest.Eventually(t, "the earlier release", func() bool { return f.number(`SELECT count(*) FROM inbox`) == n })
		stop()
	}
	closed := func(t *testing.T, f *fixture, n int64) {
		t.Helper()
		kafkatest.Eventually(t, "the gap to be closed", func() bool { return f.count("totals_v2") == n })
	}
	t.Run("it was the reader in between, and no record comes after it", func(t *testing.T) {
		f := newFixture(t)
		set, model := f.set()
		stop := f.read(set, model)
		f.start(set.Run)
		f.becomes(set, 2, projection.Waiting)
		f.accept(30, "London")
		f.handled()
		f.rebuild(set)
		f.becomes(set, 2, projection.Following)
		stop()
		f.accept(30, "Paris")
		receipts(t, f, 30)
		f.read(set, model)
		closed(t, f, 60) // the reader stores no position of a partition that had none and gets no record
	})
	t.Run("its last offsets were not committed", func(t *testing.T) {
		f := newFixture(t)
		set, model := f.set()
		f.accept(30, "London")
		receipts(t, f, 30)
		client := kadm.NewClient(kafkatest.NewClient(t, f.brokers))
		if _, err := client.DeleteGroup(t.Context(), group); err != nil {
			t.Fatal(err)
		}
		f.start(set.Run)
		f.becomes(set, 2, projection.Waiting)
		f.rebuild(set)
		f.becomes(set, 2, projection.Following)
		f.read(set, model)
		closed(t, f, 30)
		f.handled()
	})
}
