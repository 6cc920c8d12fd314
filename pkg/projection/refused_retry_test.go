package projection_test

import (
	"strings"
	"testing"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/retry"
)

// TestARepairedRecordThatAVersionRefuses comes by the retry topic. The live version gets it, the dead letter is
// resolved, and the version that is not live lists the place of the original.
func TestARepairedRecordThatAVersionRefuses(t *testing.T) {
	f := newFixture(t)
	f.relay()
	set, _ := f.follows()
	broken := f.parcel("Rome", 5)
	broken.Value, broken.Key, broken.Headers = []byte("no Avro"), []byte("no key of an event"), nil
	f.produce(broken)
	f.handled()
	letters, _, err := f.failed.List(t.Context(), f.pool, retry.Filter{Status: retry.StatusOpen, Limit: 2})
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d dead letters, %v", len(letters), err)
	}
	dear := f.parcel("Rome", 2_000_000)
	if _, err := f.failed.Edit(t.Context(), f.pool, letters[0].ID, "ada", retry.Edit{Value: &dear.Value, Key: &dear.Key, Headers: kafkatest.Headers(dear)}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.failed.Resubmit(t.Context(), f.pool, letters[0].ID, "ada", "repaired", false); err != nil {
		t.Fatal(err)
	}
	kafkatest.Eventually(t, "the live version to contain the record", func() bool { return f.count("public") == 6 })
	s := f.lists(set, 2, 1)
	if s.State != projection.Following || s.Listed[0].Place != f.place(broken) || !strings.Contains(s.Listed[0].Reason, "violates check constraint") {
		t.Errorf("%+v", s)
	}
	if n := f.number(`SELECT count(*) FROM dead_letters WHERE status = 'open'`) + f.number(`SELECT count(*) FROM parked_keys`); n != 0 {
		t.Errorf("%d records failed for the reader", n)
	}
	if _, err := set.Switch(t.Context(), "totals", 2, true); errs.KindOf(err) != errs.Conflict {
		t.Errorf("switch: %v", err)
	}
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE totals_v2.totals DROP CONSTRAINT totals_amount_check`); err != nil {
		t.Fatal(err)
	}
	f.lists(set, 2, 0)
	if n := f.count("totals_v2"); n != 6 {
		t.Errorf("version 2 contains %d parcels, want 6", n)
	}
}
