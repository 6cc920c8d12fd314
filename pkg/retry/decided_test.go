package retry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDecisionsAreOfTheRecordsAsked: not of one that lies between them, on another partition or topic, nor of
// one that was at the place in an earlier topic of the name.
func TestDecisionsAreOfTheRecordsAsked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := func(partition int32, offset int64) Letter {
		l := f.poison("key")
		l.Record.Partition, l.Record.Offset = partition, offset
		return l
	}
	asked, between, elsewhere, earlier := at(1, 10), at(1, 12), at(2, 11), at(1, 14)
	for _, l := range []Letter{asked, between, elsewhere, earlier} {
		if _, err := f.Discard(t.Context(), f.pool, f.bury(t, l), "ada", "not needed", false); err != nil {
			t.Fatal(err)
		}
	}
	open := at(1, 13)
	letter := f.bury(t, open)
	later := earlier.Record
	later.Time = later.Time.Add(time.Hour)
	unknown := at(1, 11).Record
	got, err := f.Decisions(t.Context(), f.pool, []Record{asked.Record, unknown, open.Record, later})
	want := map[Place]Decision{
		asked.Record.Place(): {Discarded: true},
		open.Record.Place():  {Open: "dead letter " + letter.String() + " waits for a decision"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, decisions (-want +got):\n%s", err, diff)
	}
}
