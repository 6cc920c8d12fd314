package operator_test

import "testing"

// What needs a replication slot is tested with package outbox.
func TestRelayMode(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	type mode struct{ Mode, Slot, By string }
	if got := as[mode](b.do("GET", "/outbox/relay?upTo=5", ""), 200); got.Mode != "polling" || got.Slot != "" {
		t.Errorf("%+v", got)
	}
	for body, want := range map[string]int{
		`{"mode": "debezium", "slot": "none_such"}`: 409,
		`{"mode": "polling"}`:                       204,
	} {
		if a := b.do("PUT", "/outbox/relay", body); a.Status != want {
			t.Errorf("%s: %d %s, want %d", body, a.Status, a.Text, want)
		}
	}
	for _, bad := range []string{`{"mode": "debezium"}`, `{"mode": "both", "slot": "x"}`, `{"mode": "debezium", "slot": "a b"}`, `{}`} {
		if a := b.do("PUT", "/outbox/relay", bad); a.Status != 400 && a.Status != 422 {
			t.Errorf("%s: %d %s", bad, a.Status, a.Text)
		}
	}
	if a := b.do("GET", "/outbox/relay?upTo=x", ""); a.Status != 400 && a.Status != 422 {
		t.Errorf("upTo=x: %d %s", a.Status, a.Text)
	}
}
