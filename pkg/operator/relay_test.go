package operator_test

import "testing"

// Cases that need a replication slot are tested in package outbox.
func TestRelayMode(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	type mode struct{ Mode, Slot, By string }
	if got := as[mode](f.do("GET", "/outbox/relay?upTo=5", ""), 200); got.Mode != "polling" || got.Slot != "" {
		t.Errorf("%+v", got)
	}
	for body, want := range map[string]int{
		`{"mode": "debezium", "slot": "none_such"}`: 409,
		`{"mode": "polling"}`:                       204,
	} {
		if a := f.do("PUT", "/outbox/relay", body); a.Status != want {
			t.Errorf("%s: %d %s, want %d", body, a.Status, a.Text, want)
		}
	}
	for _, bad := range []string{`{"mode": "debezium"}`, `{"mode": "both", "slot": "x"}`, `{"mode": "debezium", "slot": "a b"}`, `{}`} {
		if a := f.do("PUT", "/outbox/relay", bad); a.Status != 400 && a.Status != 422 {
			t.Errorf("%s: %d %s", bad, a.Status, a.Text)
		}
	}
	if a := f.do("GET", "/outbox/relay?upTo=x", ""); a.Status != 400 && a.Status != 422 {
		t.Errorf("upTo=x: %d %s", a.Status, a.Text)
	}
}
