package projection_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/projection"
)

// TestAFillingCountsOnceWhatARelayPublishedAgain: whole sets of events come again, a part of a set does,
// and an event comes twice within a set. New events between them and after them are all there.
func TestAFillingCountsOnceWhatARelayPublishedAgain(t *testing.T) {
	f := newFixture(t)
	set := f.started(func(c *projection.Config[fact]) { c.FillSet = 50 })
	parcels := func(n int) []*kgo.Record {
		all := make([]*kgo.Record, n)
		for i := range all {
			all[i] = f.parcel("London", 5)
		}
		return all
	}
	first, later := parcels(300), parcels(200)
	f.produce(first...)
	f.produce(first[:120]...)
	f.produce(later...)
	f.produce(append(parcels(3), first[7], later[3], later[3])...)
	twice := parcels(1)[0]
	f.produce(twice, twice)
	f.accept(300, "Paris")
	f.handled()
	f.rebuild(set)
	f.becomes(set, 2, projection.Following)
	if n := f.count("totals_v2"); n != 300+200+3+1+300 {
		t.Errorf("version 2 contains %d parcels", n)
	}
	if n := f.number(`SELECT count(*) FROM projection_facts WHERE version = 2`); n != 300+200+3+1+300 {
		t.Errorf("%d facts are noted", n)
	}
	if s, err := set.Switch(t.Context(), "totals", 2, false); err != nil {
		t.Errorf("switch: %+v, %v", s, err)
	}
}
