package projection_test

import (
	"testing"

	"eventshop.example/pkg/projection"
)

// TestReached: a version that the reader feeds is as far as the reader, one that is filled has positions of
// its own, and one that waits is nowhere.
func TestReached(t *testing.T) {
	f := newFixture(t)
	set := f.started()
	f.accept(20, "London")
	f.handled()
	reached := func() []projection.Reach {
		t.Helper()
		all, err := set.Reached(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := reached(); len(all) != 1 || all[0].Version != 1 || all[0].Positions != nil {
		t.Errorf("while version 2 waits: %+v", all)
	}
	f.rebuild(set)
	f.becomes(set, 2, projection.Following)
	if all := reached(); len(all) != 2 || all[1].Version != 2 || all[1].Positions != nil {
		t.Errorf("while the reader feeds both: %+v", all)
	}
	// As the reader leaves a version with a gap, before the filler finds it.
	if _, err := f.pool.Exec(t.Context(), `UPDATE projection_versions SET attached = false, state = 'filling', filler = 'another', filler_until = 'infinity'
		WHERE version = 2`); err != nil {
		t.Fatal(err)
	}
	all := reached()
	if len(all) != 2 || all[0].Positions != nil {
		t.Fatalf("while version 2 is filled: %+v", all)
	}
	var contained int64
	for at, offset := range all[1].Positions {
		if at.Topic == "" || at.TopicID == [16]byte{} {
			t.Errorf("position %+v", at)
		}
		contained += offset
	}
	if contained != 20 {
		t.Errorf("version 2 contains %d records, want 20", contained)
	}
}
